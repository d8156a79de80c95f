import assert from 'node:assert/strict';
import { KernelEmulator } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { denseBlocks, denseForms, denseTiles } from '../../../src/runners/hip/dense-kernels.ts';
import { termBlocks, termForms, termTiles } from '../../../src/runners/hip/dense-terms.ts';
import type { KernelContext } from '../../../src/runners/hip/kernel-form.ts';
import { splitTermsOf } from '../../../src/runners/hip/sizes.ts';
import { hasMatrixUnits, termTileForms, tileBlocks } from '../../../src/runners/hip/tile-kernels.ts';
import { KV_SCALED_ELEMENTS } from '../../../src/runners/kv-bytes.ts';
import { EMULATED_TARGETS, NVIDIA_TARGET } from './emulated-runner.ts';
import { guarded, outputOf, stepOf } from './kernel-cases.ts';
import { KvCache } from './kv-cache.ts';
import { SMALL_CONFIG, contextFor, randomFloats, runForm } from './small-model.ts';

const { attentionHeads, headDim, hiddenSize, keyValueHeads } = SMALL_CONFIG;
const HEADS = attentionHeads + 2 * keyValueHeads;
const ROWS = 3;
/** Of each head, in the order of its scales. */
const SCALES = headDim / KV_SCALED_ELEMENTS;

type Fill = (index: number, random: number) => number;
/** What the elements of a scale may be, finite. */
const FINITE: Readonly<Record<string, Fill>> = {
  'near 1': (_, random) => random,
  'all 0': () => 0,
  '0 of both signs': (index) => (index % 2 === 0 ? 0 : -0),
  'one far larger than the others': (index, random) => (index === 5 ? -300 : random),
  subnormal: (index) => index * 1e-42,
  'about the smallest scale': (index) => index * 1e-30,
  'largest of f32': (index) => (index === 3 ? -3.4028234e38 : index * 1e37),
  'halves between codes': (index) => (index === 0 ? 32767 : index + 0.5),
};
/** And others, which leave no number behind. */
const NOT_FINITE: Readonly<Record<string, Fill>> = {
  'an infinity': (index, random) => (index === 7 ? Number.NEGATIVE_INFINITY : random),
  'no number': (index, random) => (index === 15 ? Number.NaN : random),
};

/** A row of all heads whose scales' elements are each something else. */
function craftedRow(): Float32Array {
  const row = randomFloats(HEADS * headDim, 9);
  const finite = Object.values(FINITE);
  const all = [...finite, ...Object.values(NOT_FINITE)];
  for (let head = attentionHeads; head < HEADS; head++) {
    // What is turned is added to its partner times 0.
    const fills = head < attentionHeads + keyValueHeads ? finite : all;
    for (let scale = 0; scale < SCALES; scale++) {
      const fill = fills[((head - attentionHeads) * SCALES + scale) % fills.length] ?? ((_, random) => random);
      for (let index = 0; index < KV_SCALED_ELEMENTS; index++) {
        const half = Math.floor(index / (KV_SCALED_ELEMENTS / 2));
        const element = half * (headDim / 2) + scale * (KV_SCALED_ELEMENTS / 2) + (index % (KV_SCALED_ELEMENTS / 2));
        const at = head * headDim + element;
        row[at] = fill(index, row[at] ?? 0);
      }
    }
  }
  return row;
}

/** What all of them take. */
interface WriterArguments {
  readonly step: Int32Array;
  readonly weight: Uint16Array;
  readonly bias: Float32Array;
  readonly cosines: Float32Array;
  readonly sines: Float32Array;
  readonly cache: Uint16Array | Float32Array;
  readonly layer: number;
  readonly isWindow: number;
}
type Writer = readonly [name: string, write: (emulator: KernelEmulator, values: WriterArguments) => void];

/** Every kernel that writes to the cache. */
function writersOf(context: KernelContext): readonly Writer[] {
  const residual = randomFloats(ROWS * hiddenSize, 3);
  const gain = randomFloats(hiddenSize, 4);
  const dense = denseTiles(context).map((tile): Writer => {
    const tiles = Math.ceil(ROWS / tile);
    return [
      `tiles of ${tile}`,
      (emulator, values) => {
        const queries = outputOf(ROWS * attentionHeads * headDim);
        const own = { gain, residual, queries, tiles };
        runForm(emulator, denseForms(context, tile).qkv, denseBlocks(context, 'qkv', tile, tiles), {
          ...values,
          ...own,
        });
        guarded(queries);
      },
    ];
  });
  const inTerms = termTiles(context).map(
    (tile): Writer => [
      `rows in terms, tiles of ${tile}`,
      (emulator, values) => {
        const queries = outputOf(ROWS * attentionHeads * headDim);
        const terms = new Uint16Array(2 * tile * hiddenSize);
        const own = { squares: new Float32Array(tile).fill(1), terms, queries, tiles: 1 };
        runForm(emulator, termForms(context, tile).qkv, termBlocks(context, 'qkv', tile, 1), { ...values, ...own });
        guarded(queries);
      },
    ],
  );
  const byMatrixTiles = hasMatrixUnits(context.target)
    ? ([1, splitTermsOf(context.kv, context.target.vendor)] as const)
    : [];
  const matrix = byMatrixTiles.map(
    (terms): Writer => [
      `matrix tiles, terms: ${terms}`,
      (emulator, values) => {
        const queries = outputOf((ROWS * terms * attentionHeads * headDim) / 2);
        const own = { normed: new Uint16Array(ROWS * terms * hiddenSize), queries };
        runForm(emulator, termTileForms(context, terms).qkv, tileBlocks(context, 'qkv', 1), { ...values, ...own });
        guarded(queries);
      },
    ],
  );
  return [...dense, ...inTerms, ...matrix];
}

for (const target of [...EMULATED_TARGETS, NVIDIA_TARGET]) {
  describe(`keys and values as they are kept, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    // Products of zeros leave the bias, and angles of 0 turn nothing: what is kept is known to the bit.
    for (const kv of ['int16', 'f32'] as const)
      it(`are those of the reference in ${kv}, by every kernel that writes them`, () => {
        const row = craftedRow();
        const tables = { full: [1], window: [0], windowFirst: 0 };
        const expected = new KvCache(2, kv);
        for (let position = 0; position < ROWS; position++) {
          for (let head = 0; head < 2 * keyValueHeads; head++) {
            const from = (attentionHeads + head) * headDim;
            const part = Math.floor(head / keyValueHeads);
            expected.write(part, 1, position, head % keyValueHeads, row.subarray(from, from + headDim));
          }
        }
        for (const [name, write] of writersOf(contextFor(target, kv))) {
          const cache = new KvCache(2, kv);
          // Neither NaN nor what is expected: what is not written shows.
          cache.elements.fill(0x1234);
          write(emulator, {
            step: stepOf(ROWS, () => ({ tables })),
            weight: new Uint16Array(HEADS * headDim * hiddenSize),
            bias: row,
            cosines: new Float32Array((ROWS * headDim) / 2).fill(1),
            sines: new Float32Array((ROWS * headDim) / 2),
            cache: cache.elements,
            layer: 0,
            isWindow: 0,
          });
          for (let position = 0; position < ROWS; position++) {
            for (const part of [0, 1]) {
              for (let head = 0; head < keyValueHeads; head++) {
                // What is turned by nothing may be 0 of the other sign.
                const [found, right] = [cache, expected].map((each) =>
                  each.read(part, 1, position, head).map((x) => x + 0),
                );
                assert.deepEqual(found, right, `${name}, part ${part}, head ${head}`);
              }
            }
          }
        }
      });
  });
}
