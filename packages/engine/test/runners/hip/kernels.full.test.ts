import assert from 'node:assert/strict';
import { KernelEmulator, isTailPoisoned, poison } from '@switchyard/gpu/testing';
import { decodeMxfp4 } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { attend } from '../../../src/reference/attention.ts';
import { linear } from '../../../src/reference/linear.ts';
import { rotate } from '../../../src/reference/rotary.ts';
import { attentionForms, mergeBlocks } from '../../../src/runners/hip/attention-kernels.ts';
import { largestForm } from '../../../src/runners/hip/choice-kernel.ts';
import { DENSE_TILES, denseBlocks, denseForms } from '../../../src/runners/hip/dense-kernels.ts';
import { embeddingForm } from '../../../src/runners/hip/embedding-kernel.ts';
import {
  arrangeBlocks,
  arrangeCodesForm,
  combineForm,
  expertBlocks,
  expertForms,
  expertListForm,
} from '../../../src/runners/hip/expert-kernels.ts';
import { ATTENTION_CHUNK, EXPERT_TILES, LISTED_TILE, chunksAt, mostItems } from '../../../src/runners/hip/sizes.ts';
import { kvLayers } from '../../../src/runners/kv-bytes.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { STEP_BYTES, type StepRow, writeStep } from '../../../src/runners/hip/step-block.ts';
import { RotaryTables } from '../../../src/runners/rotary-tables.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { SMALL_CONFIG, asBf16, contextFor, errorOf, randomFloats, runForm } from './small-model.ts';

const { hiddenSize, intermediateSize, experts, expertsPerToken, attentionHeads, keyValueHeads, headDim } = SMALL_CONFIG;
const { vocabularySize, slidingWindow } = SMALL_CONFIG;
const QKV = (attentionHeads + 2 * keyValueHeads) * headDim;
const GUARD = 16;
/** Rows of a sequence that the attention test computes: the last ones, past a chunk's end. */
const COMPUTED_ROWS = 11;

/** Against f64, of sums of some hundred products near 1: f32's own rounding, and nothing more. */
const TOLERANCE = 2e-6;
/**
 * Angles are formed in f32, as transformers does: off by 2^-25 of some hundred radians. A value at the edge may round to the
 * other bf16, 2^-8 of it away, and count with up to half of a short row's sum.
 */
const ATTENTION_TOLERANCE = { f32: 2e-5, bf16: 2e-3 };

/** Rows without tables, at positions 0 and up. */
function stepOf(rows: number, change: (row: StepRow, index: number) => Partial<StepRow> = () => ({})): Int32Array {
  const words = new Int32Array(STEP_BYTES / 4);
  const tables = { full: [], window: [], windowFirst: 0 };
  const list = Array.from({ length: rows }, (_, index): StepRow => {
    const row: StepRow = { token: index, position: index, wanted: 'nothing', chunks: 1, tables };
    return { ...row, ...change(row, index) };
  });
  writeStep(words, list);
  return words;
}

function outputOf(elements: number): Float32Array {
  return poison(new Float32Array(elements + GUARD));
}

/** Nothing behind the output was written; returns the output. */
function guarded(output: Float32Array): Float32Array {
  assert.ok(isTailPoisoned(output, GUARD * 4), 'the kernel wrote past the end');
  return output.subarray(0, -GUARD);
}

function assertNear(found: Float32Array, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  const { largest, scale } = errorOf(found, expected);
  assert.ok(largest <= tolerance * scale, `${what}: off by ${largest} where values are about ${scale}`);
}

/** x * gain / sqrt(mean(x^2) + epsilon), a row at a time. */
function normed(rows: Float32Array, gain: Float32Array): Float64Array {
  const result = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += gain.length) {
    const row = rows.subarray(start, start + gain.length);
    const mean = row.reduce((sum, value) => sum + value * value, 0) / gain.length;
    row.forEach((value, index) => {
      result[start + index] = (value * (gain[index] as number)) / Math.sqrt(mean + SMALL_CONFIG.rmsNormEpsilon);
    });
  }
  return result;
}

for (const target of EMULATED_TARGETS) {
  describe(`the GPU runner's kernels, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    const context = contextFor(target);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    /** As loading does, on the device's copy alone. */
    const arrange = (codes: Uint8Array): void => {
      const words = new Uint32Array(codes.buffer);
      runForm(emulator, arrangeCodesForm(context), arrangeBlocks(words.length), { words, count: words.length });
    };

    /** Experts of the slots of one row, which need no list: `outputs` numbers for each. */
    const runBySlot = (
      name: 'gateUp' | 'down',
      { onDevice }: ReturnType<typeof mxfp4>,
      { ids, input, outputs }: { readonly ids: Int32Array; readonly input: Float32Array; readonly outputs: number },
    ): Float32Array => {
      arrange(onDevice.codes);
      const items = ids.length;
      const output = outputOf(items * outputs);
      runForm(emulator, expertForms(context, 1)[name], expertBlocks(context, name, items), {
        step: stepOf(1),
        ids,
        list: null,
        sortedSlots: null,
        items,
        ...onDevice,
        input,
        output,
      });
      return guarded(output);
    };

    it('embed: the rows of the tokens, exactly', () => {
      const table = asBf16(randomFloats(vocabularySize * hiddenSize, 1));
      const residual = outputOf(3 * hiddenSize);
      const tokens = [7, vocabularySize - 1, 0];
      const step = stepOf(3, (_, index) => ({ token: tokens[index] as number }));
      // One block more than there are rows: it has to find nothing to do.
      runForm(emulator, embeddingForm(context), 4, { step, embedding: table.bits, residual });
      const expected = tokens.flatMap((token) => [
        ...table.values.subarray(token * hiddenSize, (token + 1) * hiddenSize),
      ]);
      assert.deepEqual([...guarded(residual)], expected);
    });

    for (const tile of DENSE_TILES) {
      const rows = tile === 1 ? 1 : tile + 1;
      const tiles = Math.ceil(rows / tile) + 1;

      it(`norm and gate, output projection, head: ${rows} rows in tiles of ${tile}`, () => {
        const { attentionOutput, gate, head } = denseForms(context, tile);
        const step = stepOf(rows, (_, index) => ({ wanted: index === 1 && rows > 2 ? 'nothing' : 'logits' }));
        const residual = randomFloats(rows * hiddenSize, 2, 3);
        const gain = randomFloats(hiddenSize, 3);
        const input = normed(residual, gain);
        const matrix = (outputs: number, inputs: number, seed: number) =>
          asBf16(randomFloats(outputs * inputs, seed, 1 / Math.sqrt(inputs)));

        const [gateWeight, gateBias] = [matrix(experts, hiddenSize, 6), randomFloats(experts, 7)];
        const [logits, normedRows] = [outputOf(rows * experts), outputOf(rows * hiddenSize)];
        runForm(emulator, gate, denseBlocks(context, 'gate', tiles), {
          step,
          weight: gateWeight.bits,
          bias: gateBias,
          gain,
          residual,
          logits,
          normed: normedRows,
          tiles,
        });
        assertNear(guarded(logits), linear(input, gateWeight.values, new Float64Array(gateBias)), TOLERANCE, 'gate');
        assertNear(guarded(normedRows), input, TOLERANCE, 'normed rows');

        const width = attentionHeads * headDim;
        const [outWeight, outBias, attended] = [
          matrix(hiddenSize, width, 8),
          randomFloats(hiddenSize, 9),
          randomFloats(rows * width, 10),
        ];
        const sum = outputOf(rows * hiddenSize);
        sum.set(residual);
        runForm(emulator, attentionOutput, denseBlocks(context, 'attentionOutput', tiles), {
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
          TOLERANCE,
          'output',
        );

        const headWeight = matrix(vocabularySize, hiddenSize, 11);
        const wanted = Array.from({ length: rows }, (_, row) => row).filter((row) => rows <= 2 || row !== 1);
        const best = outputOf(wanted.length * vocabularySize);
        runForm(emulator, head, denseBlocks(context, 'head', tiles), {
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
        assertNear(guarded(best), expected, TOLERANCE, 'head');
      });
    }

    it('a row has the same bits in tiles of any size', () => {
      const rows = 9;
      const step = stepOf(rows, () => ({ wanted: 'logits' }));
      const residual = randomFloats(rows * hiddenSize, 20, 2);
      const gain = randomFloats(hiddenSize, 21);
      const weight = asBf16(randomFloats(vocabularySize * hiddenSize, 22)).bits;
      const results = DENSE_TILES.map((tile) => {
        const logits = outputOf(rows * vocabularySize);
        const tiles = Math.ceil(rows / tile);
        const { head } = denseForms(context, tile);
        const places = { tiles, first: 0, most: 64 };
        runForm(emulator, head, denseBlocks(context, 'head', tiles), {
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

    for (const kv of ['f32', 'bf16'] as const) {
      it(`norm, QKV, rotary embedding and KV write, then attention with sinks, KV in ${kv}`, () => {
        const kvContext = contextFor(target, kv);
        const { attend: attendForm, merge } = attentionForms(kvContext);
        const tile = kv === 'f32' ? 8 : 4;
        const { qkv } = denseForms(kvContext, tile);
        const tokens = ATTENTION_CHUNK + 37;
        const first = tokens - COMPUTED_ROWS;
        const residual = randomFloats(tokens * hiddenSize, 30, 2);
        const gain = randomFloats(hiddenSize, 31);
        const weight = asBf16(randomFloats(QKV * hiddenSize, 32, 0.7 / Math.sqrt(hiddenSize)));
        const bias = randomFloats(QKV, 33, 0.3);
        const sinks = randomFloats(attentionHeads, 34);
        const blocks = Math.ceil(tokens / BLOCK_POSITIONS);
        const elements = 2 * blocks * kvLayers(SMALL_CONFIG) * 2 * keyValueHeads * BLOCK_POSITIONS * headDim;
        const cache = kv === 'f32' ? new Float32Array(elements) : new Uint16Array(elements);
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
          chunks: chunksAt(first + row),
          tables,
        }));
        const all = linear(normed(residual, gain), weight.values, new Float64Array(bias));
        const expected = referenceHeads(all, tokens, kv);
        const width = attentionHeads * headDim;
        const rows = residual.slice(first * hiddenSize);
        for (const isWindow of [0, 1]) {
          const common = { step, layer: 0, isWindow };
          // The rows before are in the cache already.
          for (let position = 0; position < first; position++) {
            const block = (isWindow === 1 ? tables.window : tables.full)[
              Math.floor(position / BLOCK_POSITIONS)
            ] as number;
            writeKv(cache, block, position, expected);
          }
          const queries = outputOf(COMPUTED_ROWS * width);
          const tiles = Math.ceil(COMPUTED_ROWS / tile);
          runForm(emulator, qkv, denseBlocks(kvContext, 'qkv', tiles), {
            ...common,
            weight: weight.bits,
            bias,
            gain,
            residual: rows,
            cosines,
            sines,
            queries,
            cache,
            tiles,
          });
          assertNear(guarded(queries), expected.queries.subarray(first * width), ATTENTION_TOLERANCE.f32, 'queries');
          const partials = new Float32Array(2 * COMPUTED_ROWS * attentionHeads * (headDim + 2));
          const window = isWindow === 1 ? slidingWindow : Infinity;
          const right = attend(
            expected.queries,
            expected.keys,
            expected.values,
            new Float64Array(sinks),
            headDim,
            window,
          );
          for (const chunks of [1, 2]) {
            const output = outputOf(COMPUTED_ROWS * width);
            runForm(emulator, attendForm, COMPUTED_ROWS * keyValueHeads * chunks, {
              ...common,
              queries,
              cache,
              sinks,
              partials,
              output,
              chunks,
            });
            if (isWindow === 0) {
              runForm(emulator, merge, mergeBlocks(kvContext, COMPUTED_ROWS), { step, sinks, partials, output });
            }
            const what = `window ${window}, ${chunks} blocks a row`;
            assertNear(guarded(output), right.subarray(first * width), ATTENTION_TOLERANCE[kv], what);
          }
        }
      });
    }

    for (const tile of EXPERT_TILES) {
      it(`experts: gate and up with SwiGLU, down, combine, ${tile} slots at once`, () => {
        const rows = 7;
        const step = stepOf(rows);
        const input = randomFloats(rows * hiddenSize, 40);
        const residual = randomFloats(rows * hiddenSize, 41);
        // Some experts get nothing, one gets a slot of every row.
        const ids = Int32Array.from({ length: rows * expertsPerToken }, (_, slot) =>
          slot % expertsPerToken === 0 ? 5 : (slot * 7 + Math.floor(slot / 3)) % 5,
        );
        const weights = randomFloats(rows * expertsPerToken, 42).map(Math.abs);
        const { offsets, sorted } = planOf(ids);
        const gateUp = mxfp4(2 * intermediateSize, hiddenSize, 43);
        const down = mxfp4(hiddenSize, intermediateSize, 44);
        arrange(gateUp.onDevice.codes);
        arrange(down.onDevice.codes);
        const items = mostItems(SMALL_CONFIG, rows, tile) + (tile === 1 ? 1 : 0);
        const list = poison(new Int32Array(4 + 4 * items));
        if (tile === LISTED_TILE) runForm(emulator, expertListForm(context), 1, { offsets, list });
        const forms = expertForms(context, tile);
        const common = { step, ids, list, sortedSlots: sorted, items };
        const activated = outputOf(ids.length * intermediateSize);
        runForm(emulator, forms.gateUp, expertBlocks(context, 'gateUp', items), {
          ...common,
          ...gateUp.onDevice,
          input,
          output: activated,
        });
        const output = outputOf(ids.length * hiddenSize);
        runForm(emulator, forms.down, expertBlocks(context, 'down', items), {
          ...common,
          ...down.onDevice,
          input: activated,
          output,
        });
        const sum = outputOf(rows * hiddenSize);
        sum.set(residual);
        runForm(emulator, combineForm(context), rows + 1, { step, weights, output, residual: sum });

        const expected = new Float64Array(residual);
        ids.forEach((expert, slot) => {
          const row = Math.floor(slot / expertsPerToken);
          const x = new Float64Array(input.subarray(row * hiddenSize, (row + 1) * hiddenSize));
          const both = gateUp.apply(expert, x);
          const act = Float64Array.from({ length: intermediateSize }, (_, index) => {
            const gate = Math.min(both[2 * index] as number, SMALL_CONFIG.swigluLimit);
            const up = Math.min(
              Math.max(both[2 * index + 1] as number, -SMALL_CONFIG.swigluLimit),
              SMALL_CONFIG.swigluLimit,
            );
            return ((up + 1) * gate) / (1 + Math.exp(-1.702 * gate));
          });
          down.apply(expert, act).forEach((value, index) => {
            const at = row * hiddenSize + index;
            expected[at] = (expected[at] as number) + (weights[slot] as number) * value;
          });
        });
        guarded(activated);
        guarded(output);
        assertNear(guarded(sum), expected, 4e-6, 'experts');
      });
    }

    it('MXFP4: every code under scales from the least to the largest that matters, and NaN', () => {
      const weights = mxfp4(hiddenSize, intermediateSize, 50);
      const scales = weights.onDevice.scales;
      const used = [0, 1, 60, 126, 127, 128, 190];
      scales.forEach((_, index) => {
        scales[index] = used[index % used.length] as number;
      });
      scales[0] = 255;
      const ids = Int32Array.from({ length: expertsPerToken }, (_, k) => k);
      const input = randomFloats(ids.length * intermediateSize, 51);
      const found = runBySlot('down', weights, { ids, input, outputs: hiddenSize });
      assert.ok(Number.isNaN(found[0]), 'a block of NaN makes its row NaN');
      ids.forEach((expert, slot) => {
        const x = new Float64Array(input.subarray(slot * intermediateSize, (slot + 1) * intermediateSize));
        const right = weights.apply(expert, x);
        const sizes = weights.apply(expert, x.map(Math.abs), true);
        right.forEach((value, row) => {
          if (Number.isNaN(value)) return;
          const difference = Math.abs((found[slot * hiddenSize + row] as number) - value);
          assert.ok(
            difference <= 1e-6 * (sizes[row] as number) + 1e-45,
            `row ${row} of expert ${expert}: off by ${difference}`,
          );
        });
      });
    });

    it('gate and up: NaN stays NaN, and numbers past the limit do not', () => {
      const weights = mxfp4(2 * intermediateSize, hiddenSize, 55);
      const { bias } = weights.onDevice;
      [bias[0], bias[3], bias[4], bias[5]] = [Number.NaN, Number.NaN, 1e30, -1e30];
      const ids = Int32Array.from({ length: expertsPerToken }, () => 0);
      const input = randomFloats(hiddenSize, 56);
      const output = runBySlot('gateUp', weights, { ids, input, outputs: intermediateSize });
      const [ofGate, ofUp, limited, ...others] = output.subarray(0, intermediateSize);
      assert.ok(Number.isNaN(ofGate) && Number.isNaN(ofUp), 'NaN of the gate or of the other half');
      const { swigluLimit: limit } = SMALL_CONFIG;
      const right = ((1 - limit) * limit) / (1 + Math.exp(-1.702 * limit));
      assert.ok(Math.abs((limited as number) / right - 1) < 1e-6, `${limited} where ${right} is right`);
      assert.ok(others.every(Number.isFinite));
    });

    it('largest: the lowest id of equal logits, numbers before NaN, nothing past the candidates', () => {
      const rows = 5;
      const logits = randomFloats(rows * vocabularySize, 60);
      const row = (index: number): Float32Array =>
        logits.subarray(index * vocabularySize, (index + 1) * vocabularySize);
      const candidates = vocabularySize - 3;
      row(0)[vocabularySize - 1] = 1000;
      row(0)[200] = 50;
      row(1).fill(-7);
      row(2).fill(Number.NaN);
      row(3).fill(Number.NaN);
      row(3)[9] = Number.NEGATIVE_INFINITY;
      row(4).fill(-1);
      row(4)[301] = 0;
      row(4)[33] = -0;
      const tokens = poison(new Int32Array(rows + GUARD));
      const step = stepOf(rows + 1, () => ({ wanted: 'token' }));
      runForm(emulator, largestForm(context), rows, { step, logits, tokens, candidates, first: 0 });
      assert.deepEqual([...tokens.subarray(0, rows)], [200, 0, -1, 9, 33]);
      assert.ok(isTailPoisoned(tokens, GUARD * 4));
    });
  });
}

/** Queries, keys and values as attention sees them, in f64: rotated, and rounded as the cache rounds. */
function referenceHeads(all: Float64Array, tokens: number, kv: 'f32' | 'bf16') {
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
  const stored = kv === 'f32' ? (rows: Float64Array) => rows : roundedToBf16;
  return { queries, keys: stored(keys), values: stored(values) };
}

/** Puts a position's keys and values where the kernels would: the first layer of its kind. */
function writeKv(
  cache: Float32Array | Uint16Array,
  block: number,
  position: number,
  { keys, values }: { readonly keys: Float64Array; readonly values: Float64Array },
): void {
  for (const [part, rows] of [keys, values].entries()) {
    for (let head = 0; head < keyValueHeads; head++) {
      const from = (position * keyValueHeads + head) * headDim;
      const row = Float32Array.from(rows.subarray(from, from + headDim));
      const place = ((block * kvLayers(SMALL_CONFIG) * 2 + part) * keyValueHeads + head) * BLOCK_POSITIONS;
      const to = (place + (position % BLOCK_POSITIONS)) * headDim;
      cache.set(cache instanceof Float32Array ? row : asBf16(row).bits, to);
    }
  }
}

/** To the nearest bf16, the even one of two. */
function roundedToBf16(rows: Float64Array): Float64Array {
  const words = new Uint32Array(new Float32Array(rows).buffer);
  const rounded = words.map((bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000);
  return new Float64Array(new Float32Array(rounded.buffer));
}

/** The dispatch plan of some ids. */
function planOf(ids: Int32Array): { offsets: Int32Array; sorted: Int32Array } {
  const slots = [...ids.keys()].sort((a, b) => (ids[a] as number) - (ids[b] as number) || a - b);
  const offsets = Int32Array.from({ length: experts + 1 }, (_, expert) => ids.filter((id) => id < expert).length);
  return { offsets, sorted: Int32Array.from(slots) };
}

/** Random experts in MXFP4, and what they compute in f64. */
function mxfp4(rows: number, columns: number, seed: number) {
  const blocks = (experts * rows * columns) / 32;
  const random = randomFloats(blocks * 16, seed);
  const codes = new Uint8Array(Uint32Array.from(new Uint32Array(random.buffer), (bits) => (bits >>> 8) & 255));
  const scales = Uint8Array.from({ length: blocks }, (_, index) => 121 + (index % 4));
  const bias = randomFloats(experts * rows, seed + 1);
  const stored = codes.slice();
  const apply = (expert: number, x: Float64Array, magnitudes = false): Float64Array => {
    const perExpert = blocks / experts;
    const decoded = decodeMxfp4(
      stored.slice(expert * perExpert * 16, (expert + 1) * perExpert * 16),
      scales.slice(expert * perExpert, (expert + 1) * perExpert),
    );
    const weights = new Float64Array(magnitudes ? decoded.map(Math.abs) : decoded);
    const own = new Float64Array(bias.subarray(expert * rows, (expert + 1) * rows));
    return linear(x, weights, magnitudes ? own.map(Math.abs) : own);
  };
  return { onDevice: { codes, scales, bias }, apply };
}
