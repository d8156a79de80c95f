import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { InvalidConfigError } from '../../src/errors.ts';
import { gptOssTensorTable } from '../../src/gpt-oss/tensors.ts';
import { planPublishedCheckpoint, safetensorsHeader } from '../../src/testing/index.ts';
import { publishedCheckpoints, publishedTensors } from '../fixtures/published-checkpoints.ts';

const models = ['gpt-oss-20b', 'gpt-oss-120b'] as const;
const layouts = ['huggingface', 'original'] as const;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('The plan of a checkpoint of a published shape', () => {
  for (const model of models) {
    for (const layout of layouts) {
      describe(`of ${model}, ${layout} layout`, () => {
        const published = publishedCheckpoints[model][layout];
        const plan = planPublishedCheckpoint({ model, layout });
        const planned = plan.files.flatMap(({ tensors }) => tensors);

        it('has the published files of weights, each of the published size, header included', () => {
          const sizes = plan.files.map((file) => [
            file.name,
            file.tensors.reduce((sum, { byteLength }) => sum + byteLength, safetensorsHeader(file).length),
          ]);
          assert.deepEqual(Object.fromEntries(sizes), published.weights);
          assert.equal(plan.tensorBytes, published.tensorBytes);
        });

        it('has the published tensors with their dtypes and shapes', () => {
          const found = planned.map(({ name, dtype, shape }) => [name, [dtype, ...shape]] as const);
          assert.deepEqual(
            found.sort(([a], [b]) => (a < b ? -1 : 1)),
            publishedTensors(published, publishedCheckpoints[model].layers),
          );
        });

        it('has what this package calls for when it opens such a checkpoint', () => {
          const table = gptOssTensorTable(plan.config, layout);
          const found = new Map(planned.map(({ name, dtype, shape }) => [name, { name, dtype, shape }]));
          assert.equal(found.size, table.length);
          for (const specification of table) assert.deepEqual(found.get(specification.name), specification);
        });

        it('has the published small files to the byte', () => {
          // The tokenizer is not in the plan: it is tested by itself.
          const { 'tokenizer.json': _, ...hashes } = published.sha256;
          for (const [name, hash] of Object.entries(hashes))
            assert.equal(sha256(plan.texts.get(name) ?? ''), hash, name);
          for (const [name, bytes] of Object.entries(published.bytes))
            assert.equal(plan.texts.get(name)?.length, bytes);
          const known = [...Object.keys(hashes), ...Object.keys(published.bytes)];
          const others = [...plan.texts.keys()].filter((name) => !known.includes(name));
          // Neither the size nor the hash of the larger model's was to be had.
          assert.deepEqual(others, model === 'gpt-oss-120b' && layout === 'original' ? ['original/dtypes.json'] : []);
        });
      });
    }
  }

  const anyCheckpoint = fc.record({
    model: fc.constantFrom(...models),
    layout: fc.constantFrom(...layouts),
    layers: fc.integer({ min: 1, max: 60 }),
  });

  it('restricts the published tensors to any number of layers, and lists in the index the files that it has', () => {
    fc.assert(
      fc.property(anyCheckpoint, ({ model, layout, layers }) => {
        const plan = planPublishedCheckpoint({ model, layout, layers });
        const tensors = plan.files.flatMap((file) =>
          file.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
        );
        assert.deepEqual(
          tensors
            .map(({ name, dtype, shape }) => [name, [dtype, ...shape]] as const)
            .sort(([a], [b]) => (a < b ? -1 : 1)),
          publishedTensors(publishedCheckpoints[model][layout], layers),
        );
        const index = [...plan.texts].find(([name]) => name.endsWith('index.json'))?.[1];
        if (index === undefined)
          return assert.deepEqual(
            plan.files.map(({ name }) => name),
            ['model.safetensors'],
          );
        const expected = plan.files.flatMap((file) => file.tensors.map(({ name }) => [name, file.name] as const));
        return assert.deepEqual(JSON.parse(index), {
          metadata: { total_size: plan.tensorBytes },
          weight_map: Object.fromEntries(expected),
        });
      }),
      { numRuns: 25 },
    );
  });

  it('takes every byte of the original tensors once, in either layout', () => {
    fc.assert(
      fc.property(anyCheckpoint, ({ model, layout, layers }) => {
        const { files, tensorBytes } = planPublishedCheckpoint({ model, layout, layers });
        const ends = new Map<string, number>();
        const parts = files.flatMap(({ tensors }) => tensors).sort((a, b) => a.source.begin - b.source.begin);
        for (const { source, byteLength } of parts) {
          assert.equal(source.begin, ends.get(source.name) ?? 0, `${source.name} has a gap or an overlap`);
          ends.set(source.name, source.begin + byteLength);
        }
        assert.equal(
          [...ends.values()].reduce((sum, end) => sum + end, 0),
          tensorBytes,
        );
      }),
      { numRuns: 10 },
    );
  });

  for (const layers of [0, -1, 1.5, NaN, 5000]) {
    it(`refuses ${layers} layers`, () => {
      assert.throws(() => planPublishedCheckpoint({ model: 'gpt-oss-20b', layers }), InvalidConfigError);
    });
  }
});
