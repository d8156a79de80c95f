import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { embeddedCheckpointPath } from '../src/snapshot.ts';
import { allTensors } from './fixtures/all-tensors.ts';
import { FUZZ_SEED } from './fixtures/fuzz-seed.ts';
import { openOutcome } from './fixtures/open-outcome.ts';
import { writeSyntheticCheckpoint } from './fixtures/synthetic-checkpoint.ts';
import { withTemporaryFolder } from './fixtures/temporary-folder.ts';

/** One damage to a file, as far as its length allows. */
type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'set'; readonly at: number; readonly byte: number }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'insert'; readonly at: number; readonly text: string }
  | { readonly kind: 'remove'; readonly at: number; readonly count: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly count: number };

/** Where in the mutated part, from 0 to 1. */
const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

/** What a hostile JSON might hold. */
const fragment = fc.constantFrom(
  '-',
  '9',
  '99999999999999999999',
  '1e308',
  '0.5',
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  'null',
);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('set' as const), at, byte: fc.nat(255) }),
  fc.record({ kind: fc.constant('cut' as const), at }),
  fc.record({ kind: fc.constant('insert' as const), at, text: fragment }),
  fc.record({ kind: fc.constant('remove' as const), at, count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at, count: fc.integer({ min: 1, max: 200 }) }),
);

/** Mutates `bytes` somewhere in its first `region` bytes. */
function mutate(bytes: Uint8Array, change: Mutation, region: number): Uint8Array {
  const place = Math.floor(change.at * Math.min(region, bytes.length));
  const before = bytes.subarray(0, place);
  switch (change.kind) {
    case 'flip':
    case 'set': {
      const copy = Uint8Array.from(bytes);
      copy[place] = change.kind === 'set' ? change.byte : (copy[place] ?? 0) ^ (1 << change.bit);
      return copy;
    }
    case 'cut':
      return before;
    case 'insert':
      return Buffer.concat([before, Buffer.from(change.text), bytes.subarray(place)]);
    case 'remove':
      return Buffer.concat([before, bytes.subarray(place + change.count)]);
    default:
      return Buffer.concat([before, bytes.subarray(place, place + change.count), bytes.subarray(place)]);
  }
}

/** Opens the folder and uses it: all of its tensors can be read, and its tokenizer. */
function openOrTypedError(folder: string): Promise<string> {
  return openOutcome(folder, ({ weights, tokenizer }) => {
    for (const { name, bytes } of allTensors(weights)) {
      // Touches the first and the last page of the mapping.
      assert.ok(Number.isInteger(bytes[0]) && Number.isInteger(bytes.at(-1)), name);
    }
    assert.equal(tokenizer.decode(tokenizer.encode('ab cd <|end|>')), 'ab cd <|end|>');
  });
}

/** The bytes before the tensors' own: the 8 of the length and the header. */
function headerRegion(bytes: Uint8Array): number {
  return 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

const RUNS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 1000 : 400;

describe('a damaged checkpoint opens in range or fails with a typed error', function () {
  this.timeout(600_000);
  const parameters = { seed: 20261123, numRuns: RUNS, ...FUZZ_SEED };
  const files = ['model-00001-of-00002.safetensors', 'model.safetensors.index.json', 'config.json', 'tokenizer.json'];

  for (const layout of ['huggingface', 'original'] as const) {
    for (const file of files) {
      it(`${layout}: ${file}`, async () => {
        await withTemporaryFolder(async (folder) => {
          writeSyntheticCheckpoint(folder, { layout, expertFormat: 'mxfp4', shards: 2 });
          const path = join(folder, file);
          const sound = readFileSync(path);
          const region = file.endsWith('.safetensors') ? headerRegion(sound) : sound.length;
          assert.equal(await openOrTypedError(folder), 'opened');
          const outcomes = new Set<string>();
          await fc.assert(
            fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
              writeFileSync(
                path,
                mutations.reduce<Uint8Array>((bytes, change) => mutate(bytes, change, region), sound),
              );
              outcomes.add(await openOrTypedError(folder));
            }),
            parameters,
          );
          // Evidence that the mutations reach past the first check.
          assert.ok(outcomes.size > 1, [...outcomes].join());
        });
      });
    }
  }

  it('the embedded checkpoint, any file', async () => {
    const source = embeddedCheckpointPath();
    await withTemporaryFolder(async (folder) => {
      const names = readdirSync(source);
      for (const name of names) copyFileSync(join(source, name), join(folder, name));
      const read = names.filter((name) => /\.(json|safetensors)$/.test(name));
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...read), mutation, async (name, change) => {
          const path = join(folder, name);
          const sound = readFileSync(path);
          const region = name.endsWith('.safetensors') ? headerRegion(sound) : sound.length;
          try {
            writeFileSync(path, mutate(sound, change, region));
            await openOrTypedError(folder);
          } finally {
            writeFileSync(path, sound);
          }
        }),
        { ...parameters, numRuns: 60 },
      );
      assert.equal(await openOrTypedError(folder), 'opened');
    });
  });
});
