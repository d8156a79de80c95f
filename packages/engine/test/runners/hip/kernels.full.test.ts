import assert from 'node:assert/strict';
import { KernelEmulator, isTailPoisoned } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { attend } from '../../../src/reference/attention.ts';
import { linear } from '../../../src/reference/linear.ts';
import { rotate } from '../../../src/reference/rotary.ts';
import { attentionForm } from '../../../src/runners/hip/attention-kernels.ts';
import {
  GATE_TILES,
  denseBlocks,
  denseForms,
  denseTiles,
  gateBlocks,
  gateForm,
} from '../../../src/runners/hip/dense-kernels.ts';
import { embeddingForm } from '../../../src/runners/hip/embedding-kernel.ts';
import { ATTENTION_CHUNK, partialsAt, isBySlot } from '../../../src/runners/hip/sizes.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { RotaryTables } from '../../../src/runners/rotary-tables.ts';
import { multipliesBf16Tiles } from '../../../src/runners/hip/mxfp4-product.ts';
import { EMULATED_TARGETS, NVIDIA_TARGET } from './emulated-runner.ts';
import {
  TOLERANCE,
  TWO_TERM_TOLERANCE,
  assertNear,
  fromVectors,
  guarded,
  normed,
  outputOf,
  stepOf,
  vectorWords,
} from './kernel-cases.ts';
import { KvCache, assertKept } from './kv-cache.ts';
import { SMALL_CONFIG, asBf16, contextFor, randomFloats, runForm } from './small-model.ts';

const { hiddenSize, experts, attentionHeads, keyValueHeads, headDim } = SMALL_CONFIG;
const { vocabularySize, slidingWindow } = SMALL_CONFIG;
const QKV = (attentionHeads + 2 * keyValueHeads) * headDim;
/** Rows of a sequence that the attention test computes: the last ones, past a chunk's end. */
const COMPUTED_ROWS = 11;

/** Angles are formed in f32, as transformers does: off by 2^-25 of some hundred radians. */
const ATTENTION_TOLERANCE = 2e-5;

for (const target of [...EMULATED_TARGETS, NVIDIA_TARGET]) {
  describe(`the GPU runner's kernels, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    const context = contextFor(target);
    const tolerance = multipliesBf16Tiles(target) ? TWO_TERM_TOLERANCE : TOLERANCE;
    // Two terms leave 2^-17 of a value, and few are above 4.
    const normedTolerance = multipliesBf16Tiles(target) ? 2 ** -15 : TOLERANCE;
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    it('embed: the rows of the tokens, exactly', () => {
      const table = asBf16(randomFloats(vocabularySize * hiddenSize, 1));
      const residual = outputOf(3 * hiddenSize);
      const tokens = [7, vocabularySize - 1, 0];
      const step = stepOf(3, (_, index) => ({ token: tokens[index] as number }));
      // One block more than there are rows: it has to find nothing to do.
      const chosen = Int32Array.of(-1, 5, 9);
      runForm(emulator, embeddingForm(context), 4, { step, embedding: table.bits, chosen, residual });
      const rowsOf = (ids: readonly number[]): number[] =>
        ids.flatMap((token) => [...table.values.subarray(token * hiddenSize, (token + 1) * hiddenSize)]);
      assert.deepEqual([...guarded(residual)], rowsOf(tokens));

      // Tokens that a pass before has chosen, one of which found no number to choose by.
      const places = [-1 - 2, 7, -1 - 0];
      const next = stepOf(3, (_, index) => ({ token: places[index] as number }));
      runForm(emulator, embeddingForm(context), 3, { step: next, embedding: table.bits, chosen, residual });
      assert.deepEqual([...guarded(residual)], rowsOf([9, 7, 0]));
    });

    const matrix = (outputs: number, inputs: number, seed: number) =>
      asBf16(randomFloats(outputs * inputs, seed, 1 / Math.sqrt(inputs)));

    for (const tile of GATE_TILES) {
      const rows = tile === 1 ? 1 : tile + 1;
      const tiles = Math.ceil(rows / tile) + 1;

      it(`norm and gate: ${rows} rows in tiles of ${tile}`, () => {
        const residual = randomFloats(rows * hiddenSize, 2, 3);
        const gain = randomFloats(hiddenSize, 3);
        const input = normed(residual, gain);
        const [gateWeight, gateBias] = [matrix(experts, hiddenSize, 6), randomFloats(experts, 7)];
        const [logits, normedRows] = [outputOf(rows * experts), outputOf(rows * vectorWords(hiddenSize, context))];
        runForm(emulator, gateForm(context, tile), gateBlocks(context, tiles), {
          step: stepOf(rows),
          weight: gateWeight.bits,
          bias: gateBias,
          gain,
          residual,
          logits,
          normed: normedRows,
          tiles,
        });
        assertNear(guarded(logits), linear(input, gateWeight.values, new Float64Array(gateBias)), TOLERANCE, 'gate');
        if (isBySlot(SMALL_CONFIG, tile))
          assert.ok(isTailPoisoned(normedRows, normedRows.byteLength), 'nobody reads normed rows');
        else assertNear(fromVectors(guarded(normedRows), hiddenSize, context), input, normedTolerance, 'normed rows');
      });
    }

    for (const tile of denseTiles(context)) {
      const rows = tile === 1 ? 1 : tile + 1;
      const tiles = Math.ceil(rows / tile) + 1;

      it(`output projection, norm and head: ${rows} rows in tiles of ${tile}`, () => {
        const { attentionOutput, head } = denseForms(context, tile);
        const step = stepOf(rows, (_, index) => ({ wanted: index === 1 && rows > 2 ? 'nothing' : 'logits' }));
        const residual = randomFloats(rows * hiddenSize, 2, 3);
        const gain = randomFloats(hiddenSize, 3);
        const input = normed(residual, gain);

        const width = attentionHeads * headDim;
        const [outWeight, outBias, attended] = [
          matrix(hiddenSize, width, 8),
          randomFloats(hiddenSize, 9),
          randomFloats(rows * width, 10),
        ];
        const sum = outputOf(rows * hiddenSize);
        sum.set(residual);
        runForm(emulator, attentionOutput, denseBlocks(context, 'attentionOutput', tile, tiles), {
          step,
          weight: outWeight.bits,
          bias: outBias,
          attended,
          residual: sum,
          tiles,
        });
        const added = linear(new Float64Array(attended), outWeight.values, new Float64Array(outBias));
        assertNear(
          guarded(sum),
          added.map((value, index) => value + (residual[index] as number)),
          tolerance,
          'output',
        );

        const headWeight = matrix(vocabularySize, hiddenSize, 11);
        const wanted = Array.from({ length: rows }, (_, row) => row).filter((row) => rows <= 2 || row !== 1);
        const best = outputOf(wanted.length * vocabularySize);
        runForm(emulator, head, denseBlocks(context, 'head', tile, tiles), {
          step,
          weight: headWeight.bits,
          gain,
          residual,
          logits: best,
          tiles,
          first: 0,
          most: 64,
        });
        const all = linear(input, headWeight.values, null, hiddenSize);
        const expected = wanted.flatMap((row) => [...all.subarray(row * vocabularySize, (row + 1) * vocabularySize)]);
        assertNear(guarded(best), expected, tolerance, 'head');
      });
    }

    it('a row has the same bits in tiles of any size', () => {
      const rows = 9;
      const step = stepOf(rows, () => ({ wanted: 'logits' }));
      const residual = randomFloats(rows * hiddenSize, 20, 2);
      const gain = randomFloats(hiddenSize, 21);
      const weight = asBf16(randomFloats(vocabularySize * hiddenSize, 22)).bits;
      const results = denseTiles(context).map((tile) => {
        const logits = outputOf(rows * vocabularySize);
        const tiles = Math.ceil(rows / tile);
        const { head } = denseForms(context, tile);
        const places = { tiles, first: 0, most: 64 };
        runForm(emulator, head, denseBlocks(context, 'head', tile, tiles), {
          step,
          weight,
          gain,
          residual,
          logits,
          ...places,
        });
        return Buffer.from(guarded(logits).slice().buffer);
      });
      for (const result of results) assert.ok(result.equals(results[0] as Buffer));
    });

    const [smallTile, largeTile] = multipliesBf16Tiles(target) ? ([8, 16] as const) : ([4, 8] as const);
    for (const [tile, kv] of [
      [1, 'int16'],
      [smallTile, 'int16'],
      [largeTile, 'int16'],
      [smallTile, 'f32'],
    ] as const) {
      it(`norm, QKV, rotary embedding and KV write in tiles of ${tile}, then attention with sinks, KV in ${kv}`, () => {
        const kvContext = contextFor(target, kv);
        const attendForm = attentionForm(kvContext);
        const { qkv } = denseForms(kvContext, tile);
        const tokens = ATTENTION_CHUNK + 37;
        const first = tokens - COMPUTED_ROWS;
        const residual = randomFloats(tokens * hiddenSize, 30, 2);
        const gain = randomFloats(hiddenSize, 31);
        const weight = asBf16(randomFloats(QKV * hiddenSize, 32, 0.7 / Math.sqrt(hiddenSize)));
        const bias = randomFloats(QKV, 33, 0.3);
        const sinks = randomFloats(attentionHeads, 34);
        const blocks = Math.ceil(tokens / BLOCK_POSITIONS);
        const cache = new KvCache(2 * blocks, kv);
        // Scattered: no block stands where its number would suggest.
        const tables = {
          full: Array.from({ length: blocks }, (_, index) => (index * 7 + 3) % blocks),
          window: Array.from({ length: blocks }, (_, index) => blocks + ((index * 3 + 2) % blocks)),
          windowFirst: 0,
        };
        const rotary = new RotaryTables(SMALL_CONFIG);
        rotary.reserve(tokens);
        const [cosines, sines] = [rotary.cosine.slice(), rotary.sine.slice()];
        const step = stepOf(COMPUTED_ROWS, (_, row) => ({
          position: first + row,
          partials: partialsAt(first + row),
          tables,
        }));
        const all = linear(normed(residual, gain), weight.values, new Float64Array(bias));
        const expected = referenceHeads(all, tokens);
        const width = attentionHeads * headDim;
        const rows = residual.slice(first * hiddenSize);
        for (const isWindow of [0, 1]) {
          const common = { step, layer: 0, isWindow };
          const held = isWindow === 1 ? tables.window : tables.full;
          // The rows before are in the cache already.
          for (let position = 0; position < first; position++) {
            writeKv(cache, held[Math.floor(position / BLOCK_POSITIONS)] as number, position, expected);
          }
          const queries = outputOf(COMPUTED_ROWS * width);
          const tiles = Math.ceil(COMPUTED_ROWS / tile);
          runForm(emulator, qkv, denseBlocks(kvContext, 'qkv', tile, tiles), {
            ...common,
            weight: weight.bits,
            bias,
            gain,
            residual: rows,
            cosines,
            sines,
            queries,
            cache: cache.elements,
            tiles,
          });
          assertNear(guarded(queries), expected.queries.subarray(first * width), ATTENTION_TOLERANCE, 'queries');
          const arrivals = new Uint32Array(COMPUTED_ROWS * keyValueHeads);
          const partials = new Float32Array(2 * COMPUTED_ROWS * attentionHeads * (headDim + 2));
          const window = isWindow === 1 ? slidingWindow : Infinity;
          const [keys, values] = [expected.keys, expected.values].map((right, part) => {
            const kept = cache.readAll(part, held, tokens);
            assertKept(kept, right, ATTENTION_TOLERANCE, `part ${part} of the cache`);
            return kept;
          }) as [Float64Array, Float64Array];
          const right = attend(expected.queries, keys, values, new Float64Array(sinks), headDim, window);
          for (const shares of [1, 2]) {
            const output = outputOf(COMPUTED_ROWS * width);
            runForm(emulator, attendForm, COMPUTED_ROWS * keyValueHeads * shares, {
              ...common,
              queries,
              cache: cache.elements,
              sinks,
              partials,
              arrivals,
              output,
              blocks: shares,
            });
            assert.ok(
              arrivals.every((count) => count === 0),
              'nothing is left of the count of arrived blocks',
            );
            const what = `window ${window}, ${shares} blocks a row`;
            assertNear(guarded(output), right.subarray(first * width), ATTENTION_TOLERANCE, what);
          }
        }
      });
    }
  });
}

/** Queries, keys and values as attention sees them, in f64: rotated. */
function referenceHeads(all: Float64Array, tokens: number) {
  const part = (begin: number, heads: number): Float64Array =>
    Float64Array.from({ length: tokens * heads * headDim }, (_, index) => {
      const row = Math.floor(index / (heads * headDim));
      return all[row * QKV + begin * headDim + (index % (heads * headDim))] as number;
    });
  const queries = part(0, attentionHeads);
  const keys = part(attentionHeads, keyValueHeads);
  const values = part(attentionHeads + keyValueHeads, keyValueHeads);
  rotate(queries, attentionHeads, SMALL_CONFIG);
  rotate(keys, keyValueHeads, SMALL_CONFIG);
  return { queries, keys, values };
}

/** Puts a position's keys and values where the kernels would. */
function writeKv(
  cache: KvCache,
  block: number,
  position: number,
  { keys, values }: { readonly keys: Float64Array; readonly values: Float64Array },
): void {
  for (const [part, rows] of [keys, values].entries()) {
    for (let head = 0; head < keyValueHeads; head++) {
      const from = (position * keyValueHeads + head) * headDim;
      cache.write(part, block, position, head, rows.subarray(from, from + headDim));
    }
  }
}
