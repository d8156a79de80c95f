import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpointTensors } from '../../src/files/checkpoint-tensors.ts';
import { FolderNotEmptyError } from '../../src/errors.ts';
import { openSnapshot } from '../../src/snapshot.ts';
import { planPublishedCheckpoint, syntheticTensorBytes, writeSyntheticCheckpoint } from '../../src/testing/index.ts';
import { writeSafetensorsFile } from '../../src/testing/write-checkpoint.ts';
import { openSafetensors } from '../../src/files/safetensors.ts';
import { publishedCheckpoints, publishedTensors } from '../fixtures/published-checkpoints.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

const models = ['gpt-oss-20b', 'gpt-oss-120b'] as const;
const layouts = ['huggingface', 'original'] as const;

describe('Writing a checkpoint of a published shape', () => {
  for (const model of models) {
    for (const layout of layouts) {
      it(`writes one layer of ${model}, ${layout} layout, with the published names, dtypes and shapes`, () =>
        withTemporaryFolder(async (folder) => {
          const announced: string[] = [];
          const onFile = (name: string): unknown => announced.push(name);
          const options = { model, layout, layers: 1, weights: 'zeros', tokenizer: false, onFile } as const;
          const { path, tensorBytes } = await writeSyntheticCheckpoint(folder, options);
          assert.equal(path, layout === 'original' ? join(folder, 'original') : folder);
          using opened = openCheckpointTensors(path);
          const found = [...opened.tensors.values()].map(
            ({ name, dtype, shape }) => [name, [dtype, ...shape]] as const,
          );
          assert.deepEqual(
            found.sort(([a], [b]) => (a < b ? -1 : 1)),
            publishedTensors(publishedCheckpoints[model][layout], 1),
          );
          assert.equal(opened.tensorBytes, tensorBytes);
          const written = (await readdir(path)).filter((name) => name.endsWith('.safetensors'));
          assert.deepEqual(announced.sort(), written.sort());
        }));
    }
  }

  for (const layout of layouts) {
    it(`writes what openSnapshot opens, ${layout} layout`, () =>
      withTemporaryFolder(async (folder) => {
        const options = { model: 'gpt-oss-20b', layout, layers: 2, weights: 'zeros' } as const;
        const { path, tensorBytes } = await writeSyntheticCheckpoint(folder, options);
        using snapshot = await openSnapshot(path, { encoder: 'when-needed' });
        assert.equal(snapshot.layout, layout);
        assert.equal(snapshot.tensorBytes, tensorBytes);
        assert.equal(snapshot.config.experts, 32);
        assert.equal(snapshot.config.vocabularySize, 201_088);
        assert.equal(snapshot.tokenizer.vocabularySize, 200_019);
        assert.equal(snapshot.weights.layers.length, 2);
        assert.deepEqual(
          snapshot.generation.eosTokenIds.toSorted((a, b) => a - b),
          [199_999, 200_002, 200_012],
        );
      }));
  }

  it('writes the weights of a tensor after one another, in the order of the header', () =>
    withTemporaryFolder(async (folder) => {
      const [file] = planPublishedCheckpoint({ model: 'gpt-oss-20b', layers: 1 }).files;
      const tensors = file?.tensors.filter(({ byteLength }) => byteLength < 3_000_000) ?? [];
      assert.ok(tensors.length > 10);
      const path = join(folder, 'part.safetensors');
      const size = await writeSafetensorsFile(path, { name: 'part.safetensors', tensors }, (tensor) =>
        syntheticTensorBytes(tensor, 7),
      );
      assert.equal(statSync(path).size, size);
      using opened = openSafetensors(path);
      for (const tensor of tensors) {
        const expected = Buffer.concat([...syntheticTensorBytes(tensor, 7)]);
        assert.ok(expected.equals(opened.tensors.get(tensor.name)?.bytes ?? Buffer.alloc(0)), tensor.name);
      }
    }));

  it('asks for the next chunk only when the one before it is in the file', () =>
    withTemporaryFolder(async (folder) => {
      const [file] = planPublishedCheckpoint({ model: 'gpt-oss-20b', layers: 1 }).files;
      const tensors = file?.tensors.filter(({ name }) => name.endsWith('router.weight')) ?? [];
      const path = join(folder, 'part.safetensors');
      const before: number[] = [];
      const size = await writeSafetensorsFile(path, { name: 'part.safetensors', tensors }, function* (tensor) {
        for (let left = tensor.byteLength; left > 0; left -= 4096) {
          before.push(statSync(path).size);
          yield new Uint8Array(Math.min(4096, left));
        }
      });
      const header = before[0] ?? 0;
      assert.deepEqual(
        before,
        before.map((_, index) => header + index * 4096),
      );
      assert.equal(size, header + 32 * 2880 * 2);
    }));

  it('leaves a folder alone that holds something', () =>
    withTemporaryFolder(async (folder) => {
      await writeFile(join(folder, 'model.safetensors'), 'weights');
      const options = { model: 'gpt-oss-20b', layers: 1, weights: 'zeros' } as const;
      await assert.rejects(writeSyntheticCheckpoint(folder, options), FolderNotEmptyError);
      assert.deepEqual(await readdir(folder), ['model.safetensors']);
      await mkdir(join(folder, 'new'));
      await writeSyntheticCheckpoint(join(folder, 'new'), { ...options, tokenizer: false });
      assert.ok(existsSync(join(folder, 'new', 'config.json')));
    }));
});
