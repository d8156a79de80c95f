import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openSnapshot } from '@switchyard/models';
import { planOrtMemory } from '../../src/runners/ort/plan-memory.ts';

const PROGRAM = fileURLToPath(new URL('./planned-memory-process.mjs', import.meta.url));
const MEBIBYTE = 2 ** 20;

async function measured(...words: string[]): Promise<{ readonly grown: number; readonly planned: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', PROGRAM, ...words]);
  return JSON.parse(stdout) as { grown: number; planned: number };
}

describe('the memory plan of the ONNX Runtime runner', () => {
  for (const words of [['exact'], ['int4'], ['exact', 'bf16']]) {
    it(`says within 40 MiB by how much the process grows: ${words.join(', ')}`, async () => {
      const { grown, planned } = await measured(...words);
      assert.ok(planned > 20 * MEBIBYTE);
      // Beside weights, sessions have nodes and threads: a megabyte or two each.
      assert.ok(
        grown > planned - 10 * MEBIBYTE && grown < planned + 40 * MEBIBYTE,
        `grew by ${grown / MEBIBYTE} MiB, planned were ${planned / MEBIBYTE} MiB`,
      );
    });
  }

  it('sums up its kinds, reads embeddings when they are needed, and grows with what is asked for', async () => {
    using snapshot = await openSnapshot();
    const { config } = snapshot;
    const plan = planOrtMemory(config);
    assert.equal(
      plan.weights.reduce((sum, { bytes }) => sum + bytes, 0),
      plan.weightBytes,
    );
    assert.equal(plan.weights.find(({ kind }) => kind === 'embedding')?.bytes, 0);
    assert.ok(plan.loadingBytes < plan.weightBytes);
    assert.ok(planOrtMemory(config, { maxSequences: 512 }).workspaceBytes > plan.workspaceBytes);
    assert.ok(planOrtMemory(config, { prefillChunk: 512 }).workspaceBytes > plan.workspaceBytes);
    assert.deepEqual(structuredClone(plan), plan);
  });

  it("plans gpt-oss-20b's shapes at int4 below 17 GB, and at exact below 30", async () => {
    using snapshot = await openSnapshot();
    const config = {
      ...snapshot.config,
      layers: 24,
      layerTypes: Array.from({ length: 24 }, (_, layer) =>
        layer % 2 === 0 ? ('sliding' as const) : ('full' as const),
      ),
      hiddenSize: 2880,
      intermediateSize: 2880,
      vocabularySize: 201_088,
      attentionHeads: 64,
      keyValueHeads: 8,
      headDim: 64,
      contextLength: 131_072,
    };
    const int4 = planOrtMemory(config, { expertPrecision: 'int4' });
    assert.ok(int4.weightBytes > 15e9 && int4.weightBytes < 17e9, `${int4.weightBytes}`);
    assert.ok(int4.loadingBytes < 0.8e9, `${int4.loadingBytes}`);
    const exact = planOrtMemory(config, { expertPrecision: 'exact' });
    assert.ok(exact.weightBytes > int4.weightBytes && exact.weightBytes < 30e9, `${exact.weightBytes}`);
  });
});
