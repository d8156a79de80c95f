import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { FLOAT_DTYPES, readFloats } from '../src/tensors/floats.ts';
import { DTYPE_BITS } from '../src/tensors/tensor.ts';
import { allTensors } from './fixtures/all-tensors.ts';
import { FUZZ_SEED } from './fixtures/fuzz-seed.ts';
import { openOutcome } from './fixtures/open-outcome.ts';
import { type SyntheticCheckpoint, writeSyntheticCheckpoint } from './fixtures/synthetic-checkpoint.ts';
import { withTemporaryFolder } from './fixtures/temporary-folder.ts';
import { safetensorsBytes } from './fixtures/write-safetensors.ts';

type Json = Record<string, unknown>;

/** What a writer might put where a field is due. */
const value = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 0, 1, 0.5, 1e308, 2 ** 53, '', 'x', '__proto__', [], [[]], {}),
  fc.integer({ min: -4, max: 4096 }),
  fc.array(fc.integer({ min: -1, max: 80 }), { maxLength: 5 }),
  fc.constantFrom(...Object.keys(DTYPE_BITS), 'F3', 'toString', 'bfloat16'),
);

/** Which of several, as a share. */
const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

/** One change to the entries of a header. */
const headerChange = fc.oneof(
  fc.record({ kind: fc.constant('field'), of: share, field: fc.constantFrom('dtype', 'shape', 'data_offsets'), value }),
  fc.record({
    kind: fc.constant('entry'),
    of: share,
    field: fc.constantFrom('__metadata__', '', '__proto__', 'new'),
    value,
  }),
  fc.record({
    kind: fc.constant('rename'),
    of: share,
    field: fc.constantFrom('constructor', 'lm_head.weight', 'x'),
    value,
  }),
  fc.record({
    kind: fc.constant('swap'),
    of: share,
    field: fc.constantFrom('dtype', 'shape', 'data_offsets'),
    value: share,
  }),
  fc.record({ kind: fc.constant('copy'), of: share, field: fc.constantFrom('lora.A', 'model.norm.weight'), value }),
  fc.record({ kind: fc.constant('drop'), of: share, field: fc.constant(''), value }),
  fc.record({
    kind: fc.constant('retype'),
    of: share,
    field: fc.constantFrom('F16', 'F32', 'F8_E8M0', 'F4', 'I16'),
    value,
  }),
);
type HeaderChange = typeof headerChange extends fc.Arbitrary<infer Change> ? Change : never;

const entryOf = (header: Json, of: number): [string, Json] | null => {
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  const name = names[Math.floor(of * names.length)];
  const entry = name === undefined ? undefined : header[name];
  return name === undefined || typeof entry !== 'object' || entry === null ? null : [name, entry as Json];
};

/** Makes the change, as far as the header allows it. */
function change(header: Json, { kind, of, field, value: given }: HeaderChange): void {
  const found = entryOf(header, of);
  if (kind === 'entry') Object.defineProperty(header, field, { value: given, enumerable: true, configurable: true });
  if (found === null) return;
  const [name, entry] = found;
  if (kind === 'field') entry[field] = given;
  if (kind === 'retype') entry['dtype'] = field;
  if (kind === 'drop' || kind === 'rename') delete header[name];
  if (kind === 'rename') header[field] = entry;
  if (kind === 'copy') header[field] = { ...entry };
  const other = kind === 'swap' && typeof given === 'number' ? entryOf(header, given) : null;
  if (other !== null) [entry[field], other[1][field]] = [other[1][field], entry[field]];
}

/** Lays the tensors end to end, each as long as its dtype and shape say, so that nothing else than the change is wrong. */
function layOut(header: Json): number {
  let end = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__' || typeof entry !== 'object' || entry === null) continue;
    const { dtype, shape } = entry as Json;
    if (typeof dtype !== 'string' || !Array.isArray(shape)) continue;
    const bits = Object.hasOwn(DTYPE_BITS, dtype) ? DTYPE_BITS[dtype as keyof typeof DTYPE_BITS] : 8;
    const bytes = Math.ceil((shape as number[]).reduce((product, size) => product * size, bits) / 8);
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > 2 ** 20) continue;
    (entry as Json)['data_offsets'] = [end, end + bytes];
    end += bytes;
  }
  return end;
}

/** Opens the folder and reads every tensor. */
function outcomeOf(folder: string): Promise<string> {
  return openOutcome(folder, ({ weights }) => {
    for (const tensor of allTensors(weights)) {
      if (FLOAT_DTYPES.some((dtype) => dtype === tensor.dtype)) readFloats(tensor);
      else assert.equal(tensor.dtype, 'U8', tensor.name);
    }
  });
}

const RUNS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 3000 : 400;

describe('a header that says something else opens in range or fails with a typed error', function () {
  // A minute or two of runs at level full.
  this.timeout(600_000);

  const kinds: readonly SyntheticCheckpoint[] = [
    { layout: 'huggingface', expertFormat: 'mxfp4' },
    { layout: 'huggingface', expertFormat: 'bf16' },
    { layout: 'original', expertFormat: 'mxfp4' },
  ];
  for (const kind of kinds) {
    it(`${kind.layout}, experts as ${kind.expertFormat}`, async () => {
      await withTemporaryFolder(async (folder) => {
        writeSyntheticCheckpoint(folder, kind);
        const path = join(folder, 'model.safetensors');
        const sound = readFileSync(path);
        const headerBytes = Number(sound.readBigUInt64LE(0));
        const header = JSON.parse(sound.toString('utf8', 8, 8 + headerBytes)) as Json;
        assert.equal(await outcomeOf(folder), 'opened');
        const outcomes = new Set<string>();
        await fc.assert(
          fc.asyncProperty(
            fc.array(headerChange, { minLength: 1, maxLength: 4 }),
            fc.boolean(),
            async (changes, isLaidOut) => {
              const changed = structuredClone(header);
              for (const one of changes) change(changed, one);
              const data = isLaidOut ? new Uint8Array(layOut(changed)) : sound.subarray(8 + headerBytes);
              writeFileSync(path, safetensorsBytes(JSON.stringify(changed), data));
              outcomes.add(await outcomeOf(folder));
            },
          ),
          { numRuns: RUNS, ...FUZZ_SEED },
        );
        for (const outcome of [
          'opened',
          'INVALID_SAFETENSORS',
          'TENSOR_MISMATCH',
          'MISSING_TENSORS',
          'UNEXPECTED_TENSORS',
        ]) {
          assert.ok(outcomes.has(outcome), `never ${outcome}: ${[...outcomes].join()}`);
        }
      });
    });
  }
});
