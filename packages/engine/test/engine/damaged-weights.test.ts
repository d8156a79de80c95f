import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import { Engine } from '../../src/engine.ts';
import { InvalidLogitsError } from '../../src/errors.ts';

const SHARD = 'model-00001-of-00002.safetensors';
const BF16_NAN = 0x7fc0;

/** Makes every value of a tensor in a safetensors file NaN. */
async function damage(file: string, tensor: string): Promise<void> {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] } | undefined
  >;
  const [start, end] = header[tensor]?.data_offsets ?? [0, 0];
  assert.ok(end > start, `${tensor} is not in ${file}`);
  for (let at = start; at < end; at += 2) bytes.writeUInt16LE(BF16_NAN, 8 + headerBytes + at);
  await writeFile(file, bytes);
}

describe('weights that are no numbers', () => {
  let folder: string;
  let engine: Engine;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-damaged-'));
    await cp(embeddedCheckpointPath(), folder, { recursive: true });
    using snapshot = await openSnapshot();
    const name = snapshot.weights.layers[0]?.inputNorm.name ?? '';
    await damage(join(folder, SHARD), name);
    engine = await Engine.load(folder, { router: 'cpu' });
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  it('end in an error and not in an answer, whatever the sampling', async () => {
    for (const sampling of [{}, { temperature: 1 }, { temperature: 1, topP: 0.5, topK: 5 }, { logprobs: 2 }]) {
      await assert.rejects(
        engine.complete({ prompt: 'What is a lighthouse?', maxTokens: 4, ...sampling }),
        (error) => error instanceof InvalidLogitsError && error.code === 'INVALID_LOGITS',
      );
    }
    await assert.rejects(
      engine.complete({ messages: [{ role: 'user', content: 'a' }], responseFormat: { type: 'json-object' } }),
      InvalidLogitsError,
    );
  });

  it('have no likelihood', async () => {
    await assert.rejects(engine.score([{ text: 'a lighthouse' }]), InvalidLogitsError);
  });
});
