import assert from 'node:assert/strict';
import { KernelEmulator, isTailPoisoned, poison } from '@switchyard/gpu/testing';
import type { KernelArgument } from '@switchyard/gpu';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { attend } from '../../../src/reference/attention.ts';
import { linear } from '../../../src/reference/linear.ts';
import { rotate } from '../../../src/reference/rotary.ts';
import { arrangeBlocks, arrangeCodesForm } from '../../../src/runners/hip/expert-kernels.ts';
import type { KernelForm } from '../../../src/runners/hip/kernel-form.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import {
  type ExpertTile,
  expertTileBlocks,
  expertTileForms,
  expertTiles,
  readsArranged,
} from '../../../src/runners/hip/expert-tile-kernels.ts';
import {
  FEW_TILE_SLOTS,
  type Terms,
  arrangedColumns,
  mostItems,
  splitTermsOf,
} from '../../../src/runners/hip/sizes.ts';
import { STEP_BYTES, type StepRow, writeRuns, writeStep } from '../../../src/runners/hip/step-block.ts';
import {
  commonTileForms,
  rowsOfRun,
  tileBlocks,
  tileTokens,
  termTileForms,
} from '../../../src/runners/hip/tile-kernels.ts';
import { RotaryTables } from '../../../src/runners/rotary-tables.ts';
import { mxfp4 } from './kernel-cases.ts';
import { KvCache, assertKept } from './kv-cache.ts';
import { SMALL_CONFIG, asBf16, contextFor, errorOf, randomFloats, runForm } from './small-model.ts';
import { arranged, inTerms, natural, rounded, termsRead, widened } from './term-rows.ts';

const { hiddenSize, intermediateSize, experts, expertsPerToken, attentionHeads, keyValueHeads, headDim } = SMALL_CONFIG;
const { slidingWindow } = SMALL_CONFIG;
const QKV = (attentionHeads + 2 * keyValueHeads) * headDim;
const WIDTH = attentionHeads * headDim;
const GUARD = 16;

/**
 * A target of every form of the tiles. NVIDIA's instruction is emulated in waves of 32: wave by wave, and as groups of four
 * multiply together.
 */
const TARGETS = [
  { architecture: 'gfx942', waveSize: 64, defines: {} },
  { architecture: 'gfx1100', waveSize: 32, defines: {} },
  { architecture: 'gfx1201', waveSize: 32, defines: {} },
  { architecture: 'sm_80', waveSize: 32, defines: { MATRIX_FORM: 1 } },
  { architecture: 'sm_90', waveSize: 32, defines: { MATRIX_FORM: 1 } },
] as const;

/** Of f32 outputs, against the f64 reference on the same bf16 inputs: of their root mean square. */
const TOLERANCE = 2e-5;
/** The same of f32 inputs that are split: two terms leave 2^-17 of each of some hundred values. */
const SPLIT_TOLERANCE = 2e-5;
/** Half a unit in the last place of a bf16, of the value itself. */
const BF16_ROUNDING = 2 ** -8;
/** The terms of a row together: half a unit in the last place of the last, which is 2^-8 of the one before or less. */
const SPLIT_ROUNDING: Readonly<Record<Exclude<Terms, 1>, number>> = { 2: 2 ** -16, 3: 2 ** -23 };
/** As of the other kernels: angles are formed in f32, off by 2^-25 of some hundred radians. */
const CACHE_TOLERANCE = 3e-5;
/**
 * Queries, keys, values, shares and what comes out are each rounded to bf16, or split into terms of it, of whose products those
 * below the last term are left out: of the sum of the values' magnitudes by their shares.
 */
const ATTENTION_ROUNDING: Readonly<Record<Terms, number>> = { 1: 2 ** -7, 2: 2 ** -14, 3: 2 ** -19 };

function stepOf(rows: number, change: (index: number) => Partial<StepRow> = () => ({})): Int32Array {
  const words = new Int32Array(STEP_BYTES / 4);
  const tables = { full: [], window: [], windowFirst: 0 };
  writeStep(
    words,
    Array.from({ length: rows }, (_, index): StepRow => {
      return { token: index, position: index, wanted: 'nothing', partials: 1, tables, ...change(index) };
    }),
  );
  return words;
}

function outputOf(elements: number): Float32Array {
  return poison(new Float32Array(elements + GUARD));
}

function halvesOf(elements: number): Uint16Array {
  return poison(new Uint16Array(elements + GUARD));
}

/** Nothing behind the output was written; returns the output. */
function guarded<Output extends Float32Array | Uint16Array>(output: Output): Output {
  assert.ok(isTailPoisoned(output, GUARD * output.BYTES_PER_ELEMENT), 'the kernel wrote past the end');
  return output.subarray(0, -GUARD) as Output;
}

function assertNear(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  const { largest, scale } = errorOf(found, expected);
  assert.ok(largest <= tolerance * scale, `${what}: off by ${largest} where values are about ${scale}`);
}

/** What was computed as f32 and then rounded to bf16. */
function assertRounded(bits: Uint16Array, expected: ArrayLike<number>, what: string): void {
  assertRoundedBy(BF16_ROUNDING, widened(bits), expected, what);
}

/** What was computed as f32, off by `computed`, and then rounded, off by a part of each value. */
function assertRoundedBy(
  rounding: number,
  found: Float64Array,
  expected: ArrayLike<number>,
  what: string,
  computed = TOLERANCE,
): void {
  assert.equal(found.length, expected.length, what);
  const { scale } = errorOf(found, expected);
  found.forEach((value, index) => {
    const right = expected[index] as number;
    const difference = Math.abs(value - right);
    assert.ok(
      difference <= rounding * Math.abs(right) + computed * scale,
      `${what}: ${value} at ${index} where ${right} is right`,
    );
  });
}

function matrix(outputs: number, inputs: number, seed: number) {
  return asBf16(randomFloats(outputs * inputs, seed, 1 / Math.sqrt(inputs)));
}

for (const { architecture, waveSize, defines } of TARGETS) {
  describe(`the GPU runner's kernels by matrix tiles, emulated as ${architecture}`, function () {
    this.timeout(600_000);
    const target = { vendor: architecture.startsWith('sm_') ? 'nvidia' : 'amd', architecture, waveSize } as const;
    const context = contextFor(target);
    /** The most rows of a block. */
    const mostRows = tileTokens(context, 1, 'rows');
    const exactContext = contextFor(target, 'f32');
    const products = {
      1: termTileForms(context, 1),
      2: termTileForms(context, 2),
      3: termTileForms(exactContext, 3),
    } as const;
    /** What rows of this target are read in. */
    const exactTerms = splitTermsOf('f32', target.vendor);
    const termCounts = exactTerms === 3 ? ([1, 2, 3] as const) : ([1, 2] as const);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    const run = <List extends readonly KernelArgument[]>(
      form: KernelForm<List>,
      blocks: number,
      values: Parameters<typeof runForm<List>>[3],
    ): void => {
      const unit = { ...form.unit, defines: { ...form.unit.defines, ...defines } };
      runForm(emulator, { ...form, unit }, blocks, values);
    };

    it('norm: rows rounded, and split into two terms that have 16 bits, and three that have all', () => {
      const rows = 3;
      const residual = randomFloats(rows * hiddenSize, 2, 3);
      const gain = randomFloats(hiddenSize, 3);
      const expected = normed(residual, gain);
      const step = stepOf(rows);
      const single = halvesOf(rows * hiddenSize);
      run(products[1].norm, rows + 1, { step, gain, residual, output: single, arranged: new Uint16Array(0) });
      assertRounded(guarded(single), expected, 'one term');
      for (const terms of [2, 3] as const) {
        const split = halvesOf(rows * terms * hiddenSize);
        run(products[terms].norm, rows + 1, { step, gain, residual, output: split, arranged: new Uint16Array(0) });
        const found = widened(guarded(split));
        const place = (index: number): number =>
          Math.floor(index / hiddenSize) * terms * hiddenSize + (index % hiddenSize);
        const first = rounded(expected.map((_, index) => found[place(index)] as number));
        assert.deepEqual(first, guarded(single), 'the first term is the row in one');
        termsRead(terms, guarded(split), hiddenSize).forEach((sum, index) => {
          const right = expected[index] as number;
          assert.ok(
            Math.abs(sum - right) <= SPLIT_ROUNDING[terms] * Math.abs(right) + 2e-7,
            `${sum} where ${right} is right`,
          );
        });
      }
    });

    it('norm before the experts: rows split for the gate, and in the terms and the order in which experts read them', () => {
      const rows = 3;
      const residual = randomFloats(rows * hiddenSize, 2, 3);
      const gain = randomFloats(hiddenSize, 3);
      const step = stepOf(rows);
      for (const terms of termCounts) {
        const of = terms === 3 ? exactContext : context;
        const splitTerms = splitTermsOf(of.kv, of.target.vendor);
        const normOf = (form: (typeof products)[Terms]['norm'], width: number, arrangedWidth: number) => {
          const [output, ordered] = [halvesOf(rows * width), halvesOf(rows * arrangedWidth)];
          run(form, rows + 1, { step, gain, residual, output, arranged: ordered });
          return { output: guarded(output), ordered: guarded(ordered) };
        };
        const { output } = normOf(products[terms].norm, terms * hiddenSize, 0);
        const arrangedWidth = readsArranged(of) ? terms * arrangedColumns(hiddenSize) : 0;
        const before = normOf(products[terms].expertNorm, splitTerms * hiddenSize, arrangedWidth);
        const split = normOf(products[splitTerms].norm, splitTerms * hiddenSize, 0);
        assert.deepEqual(before.output, split.output);
        if (readsArranged(of)) assert.deepEqual(natural(before.ordered, hiddenSize), output);
      }
    });

    // One row, one more than a tile of 16 has, one more than a block has.
    for (const rows of [1, 17, mostRows + 1]) {
      it(`output projection and gate: ${rows} rows`, () => {
        const step = stepOf(rows);
        for (const terms of termCounts) {
          const tiles = Math.ceil(rows / tileTokens(context, terms, 'rows')) + 1;
          const attended = inTerms(terms, randomFloats(rows * WIDTH, 10), WIDTH);
          const [weight, bias] = [matrix(hiddenSize, WIDTH, 8), randomFloats(hiddenSize, 9)];
          const residual = randomFloats(rows * hiddenSize, 2);
          const sum = outputOf(rows * hiddenSize);
          sum.set(residual);
          run(products[terms].attentionOutput, tileBlocks(context, 'attentionOutput', tiles), {
            step,
            weight: weight.bits,
            bias,
            attended: attended.bits,
            residual: sum,
          });
          const added = linear(attended.values, weight.values, new Float64Array(bias));
          const expected = added.map((value, index) => value + (residual[index] as number));
          assertNear(guarded(sum), expected, TOLERANCE, `output, terms: ${terms}`);
        }

        const exact = randomFloats(rows * hiddenSize, 11);
        const [gate, gateBias] = [matrix(experts, hiddenSize, 12), randomFloats(experts, 13)];
        const right = linear(new Float64Array(exact), gate.values, new Float64Array(gateBias));
        for (const of of [context, exactContext]) {
          const terms = splitTermsOf(of.kv, of.target.vendor);
          const logits = outputOf(rows * experts);
          const tiles = Math.ceil(rows / tileTokens(of, terms, 'gate')) + 1;
          run(commonTileForms(of).gate, tileBlocks(of, 'gate', tiles), {
            step,
            weight: gate.bits,
            bias: gateBias,
            normed: inTerms(terms, exact, hiddenSize).bits,
            logits,
          });
          assertNear(guarded(logits), right, SPLIT_TOLERANCE, `gate, terms: ${terms}`);
        }
      });
    }

    it('a row has the same bits alone and among others, wherever it stands', () => {
      const rows = mostRows + 5;
      const [weight, bias] = [matrix(hiddenSize, WIDTH, 21), randomFloats(hiddenSize, 22)];
      const project = (terms: Terms, bits: Uint16Array): Float32Array => {
        const count = bits.length / (terms * WIDTH);
        const residual = outputOf(count * hiddenSize);
        residual.fill(0, 0, count * hiddenSize);
        run(
          products[terms].attentionOutput,
          tileBlocks(context, 'attentionOutput', Math.ceil(count / tileTokens(context, terms, 'rows'))),
          {
            step: stepOf(count),
            weight: weight.bits,
            bias,
            attended: bits,
            residual,
          },
        );
        return guarded(residual);
      };
      for (const terms of termCounts) {
        const { bits } = inTerms(terms, randomFloats(rows * WIDTH, 20), WIDTH);
        const all = project(terms, bits);
        for (const row of [0, 15, 16, 100, mostRows + 4]) {
          const alone = project(terms, bits.slice(row * terms * WIDTH, (row + 1) * terms * WIDTH));
          assert.deepEqual(all.subarray(row * hiddenSize, (row + 1) * hiddenSize), alone, `row ${row}`);
        }
      }
    });

    for (const [terms, kv] of [
      [1, 'int16'],
      [2, 'int16'],
      [exactTerms, 'f32'],
    ] as const)
      it(`QKV, rotary embedding and KV write, then attention with sinks, terms: ${terms}, KV in ${kv}`, () => {
        const { qkv, attend: attendForm } = termTileForms(contextFor(target, kv), terms);
        const width = terms * WIDTH;
        // More than a block of any target has.
        const tokens = 281;
        const input = inTerms(terms, randomFloats(tokens * hiddenSize, 30), hiddenSize);
        const weight = asBf16(randomFloats(QKV * hiddenSize, 32, 1 / Math.sqrt(hiddenSize)));
        const bias = randomFloats(QKV, 33, 0.3);
        const sinks = randomFloats(attentionHeads, 34);
        sinks[1] = Number.NEGATIVE_INFINITY;
        sinks[2] = 20;
        const blocks = Math.ceil(tokens / BLOCK_POSITIONS);
        const rotary = new RotaryTables(SMALL_CONFIG);
        rotary.reserve(tokens);
        const [cosines, sines] = [rotary.cosine.slice(), rotary.sine.slice()];
        const tables = {
          full: Array.from({ length: blocks }, (_, index) => (index + 3) % blocks),
          window: Array.from({ length: blocks }, (_, index) => 2 * blocks - 1 - index),
          windowFirst: 0,
        };
        const all = linear(input.values, weight.values, new Float64Array(bias));
        const part = (begin: number, heads: number): Float64Array =>
          Float64Array.from({ length: tokens * heads * headDim }, (_, index) => {
            const row = Math.floor(index / (heads * headDim));
            return all[row * QKV + begin * headDim + (index % (heads * headDim))] as number;
          });
        const queries = part(0, attentionHeads);
        const keys = part(attentionHeads, keyValueHeads);
        rotate(queries, attentionHeads, SMALL_CONFIG);
        rotate(keys, keyValueHeads, SMALL_CONFIG);
        const values = part(attentionHeads + keyValueHeads, keyValueHeads);

        for (const isWindow of [0, 1]) {
          const window = isWindow === 1 ? slidingWindow : Infinity;
          const held = isWindow === 1 ? tables.window : tables.full;
          // In one piece, and cut where no tile ends: later pieces read what earlier ones wrote.
          const results = [[tokens], [37, 100, tokens - 137]].map((pieces) => {
            // NaN: what was not written is not read, or it shows.
            const cache = new KvCache(2 * blocks, kv);
            const rotated = new Uint16Array(tokens * width);
            const output = new Uint16Array(tokens * width);
            let first = 0;
            for (const rows of pieces) {
              const words = new Int32Array(STEP_BYTES / 4);
              const list = Array.from({ length: rows }, (_, row): StepRow => {
                return { token: 0, position: first + row, wanted: 'nothing', partials: 1, tables };
              });
              writeStep(words, list);
              const runs = writeRuns(words, list, rowsOfRun(context));
              const common = { step: words, cache: cache.elements, layer: 0, isWindow };
              const own = halvesOf(rows * width);
              run(qkv, tileBlocks(context, 'qkv', Math.ceil(rows / tileTokens(context, terms, 'rows'))), {
                ...common,
                weight: weight.bits,
                bias,
                normed: input.bits.slice(first * terms * hiddenSize, (first + rows) * terms * hiddenSize),
                cosines,
                sines,
                queries: own,
              });
              rotated.set(guarded(own), first * width);
              const attended = halvesOf(rows * width);
              run(attendForm, runs * keyValueHeads, { ...common, queries: own, sinks, output: attended, runs });
              output.set(guarded(attended), first * width);
              first += rows;
            }
            return { rotated, output, cache };
          });
          const [whole, cut] = results;
          assert.ok(whole !== undefined && cut !== undefined);
          assert.deepEqual(cut.output, whole.output, 'a row does not know where its prompt was cut');

          const rotated = termsRead(terms, whole.rotated, WIDTH);
          if (terms === 1) assertRounded(whole.rotated, queries, 'queries');
          else assertRoundedBy(SPLIT_ROUNDING[terms], rotated, queries, 'queries', CACHE_TOLERANCE);
          const stored = [keys, values].map((expected, which) => {
            const found = whole.cache.readAll(which, held, tokens);
            assertKept(found, expected, CACHE_TOLERANCE, `part ${which} of the cache`);
            return terms === 1 ? widened(rounded(new Float32Array(found))) : found;
          });
          const [storedKeys, storedValues] = stored as [Float64Array, Float64Array];
          const attendTo = (to: Float64Array): Float64Array =>
            attend(rotated, storedKeys, to, new Float64Array(sinks), headDim, window);
          const right = attendTo(storedValues);
          const magnitudes = attendTo(storedValues.map(Math.abs));
          termsRead(terms, whole.output, WIDTH).forEach((value, index) => {
            const difference = Math.abs(value - (right[index] as number));
            const most = ATTENTION_ROUNDING[terms] * (magnitudes[index] as number) + 1e-6;
            assert.ok(
              difference <= most,
              `window ${window}: off by ${difference} at ${index}, where ${right[index]} is right`,
            );
          });
        }
      });

    for (const terms of termCounts)
      it(`experts: gate and up with SwiGLU, down, in the order of the plan, terms: ${terms}`, () => {
        const ofModel = terms === 3 ? exactContext : context;
        const rows = mostRows + 7;
        const exact = randomFloats(rows * hiddenSize, 40);
        // Some experts get nothing, one gets a slot of every row: more than a block has.
        const ids = Int32Array.from({ length: rows * expertsPerToken }, (_, slot) =>
          slot % expertsPerToken === 0 ? 5 : (slot * 7 + Math.floor(slot / 3)) % 5,
        );
        const sorted = Int32Array.from(
          [...ids.keys()].sort((a, b) => (ids[a] as number) - (ids[b] as number) || a - b),
        );
        const offsets = Int32Array.from({ length: experts + 1 }, (_, expert) => ids.filter((id) => id < expert).length);
        const gateUp = mxfp4(2 * intermediateSize, hiddenSize, 43);
        const down = mxfp4(hiddenSize, intermediateSize, 44);
        for (const { onDevice } of [gateUp, down]) {
          const words = new Uint32Array(onDevice.codes.buffer);
          run(arrangeCodesForm(context), arrangeBlocks(words.length), { words, count: words.length });
        }
        const isArranged = readsArranged(ofModel);
        const activatedWidth = isArranged ? arrangedColumns(intermediateSize) : intermediateSize;
        const compute = (tile: ExpertTile) => {
          const forms = expertTileForms(ofModel, terms, tile);
          // As many as there are with the smallest tiles.
          const items = mostItems(SMALL_CONFIG, rows, FEW_TILE_SLOTS);
          const list = poison(new Int32Array(4 + 4 * items));
          run(forms.listExperts, 1, { offsets, list });
          const common = { list, sortedSlots: sorted };
          const activated = halvesOf(ids.length * terms * activatedWidth);
          run(forms.gateUp, expertTileBlocks(ofModel, 'gateUp', tile, items), {
            ...gateUp.onDevice,
            ...common,
            input: isArranged
              ? arranged(inTerms(terms, exact, hiddenSize).bits, hiddenSize)
              : inTerms(splitTermsOf(ofModel.kv, ofModel.target.vendor), exact, hiddenSize).bits,
            output: activated,
          });
          const output = outputOf(ids.length * hiddenSize);
          run(forms.down, expertTileBlocks(ofModel, 'down', tile, items), {
            ...down.onDevice,
            ...common,
            input: activated,
            output,
          });
          return { activated: guarded(activated), output: guarded(output) };
        };
        const computed = expertTiles(ofModel).map(compute);
        const [first] = computed;
        assert.ok(first !== undefined);
        for (const other of computed) assert.deepEqual(other, first, 'a slot does not know how many an expert has');
        const { activated: left, output } = first;
        const input = inTerms(terms, exact, hiddenSize).values;
        const limit = SMALL_CONFIG.swigluLimit;
        const right = new Float64Array(ids.length * hiddenSize);
        const found = termsRead(terms, isArranged ? natural(left, intermediateSize) : left, intermediateSize);
        const both = new Float64Array(ids.length * intermediateSize);
        sorted.forEach((slot, place) => {
          const expert = ids[slot] as number;
          const row = Math.floor(slot / expertsPerToken);
          const sums = gateUp.apply(expert, input.subarray(row * hiddenSize, (row + 1) * hiddenSize));
          for (let index = 0; index < intermediateSize; index++) {
            const gate = Math.min(sums[2 * index] as number, limit);
            const up = Math.min(Math.max(sums[2 * index + 1] as number, -limit), limit);
            both[place * intermediateSize + index] = ((up + 1) * gate) / (1 + Math.exp(-1.702 * gate));
          }
          // From what the kernel before gave, so that its rounding is not counted here.
          right.set(
            down.apply(expert, found.subarray(place * intermediateSize, (place + 1) * intermediateSize)),
            slot * hiddenSize,
          );
        });
        const rounding = terms === 1 ? BF16_ROUNDING : SPLIT_ROUNDING[terms];
        assertRoundedBy(rounding, found, both, 'activated');
        assertNear(output, right, TOLERANCE, 'down');
      });

    it('MXFP4: every code under scales that matter, and NaN', () => {
      const weights = mxfp4(hiddenSize, intermediateSize, 50);
      const { scales } = weights.onDevice;
      const used = [20, 60, 110, 126, 127, 128, 190];
      scales.forEach((_, index) => {
        scales[index] = used[index % used.length] as number;
      });
      scales[0] = 255;
      const words = new Uint32Array(weights.onDevice.codes.buffer);
      run(arrangeCodesForm(context), arrangeBlocks(words.length), { words, count: words.length });
      const slots = experts;
      const input = asBf16(randomFloats(slots * intermediateSize, 51));
      const list = Int32Array.from([
        slots,
        0,
        0,
        0,
        ...Array.from({ length: slots }, (_, slot) => [slot, slot, 1, 0]).flat(),
      ]);
      const output = outputOf(slots * hiddenSize);
      run(expertTileForms(context, 1, 'many').down, expertTileBlocks(context, 'down', 'many', slots), {
        ...weights.onDevice,
        input: readsArranged(context) ? arranged(input.bits, intermediateSize) : input.bits,
        list,
        sortedSlots: Int32Array.from({ length: slots }, (_, slot) => slot),
        output,
      });
      const found = guarded(output);
      assert.ok(Number.isNaN(found[0]), 'a block of NaN makes its row NaN');
      for (let expert = 0; expert < slots; expert++) {
        const x = input.values.subarray(expert * intermediateSize, (expert + 1) * intermediateSize);
        const right = weights.apply(expert, x);
        const sizes = weights.apply(expert, x.map(Math.abs), true);
        right.forEach((value, row) => {
          if (Number.isNaN(value)) return;
          const difference = Math.abs((found[expert * hiddenSize + row] as number) - value);
          assert.ok(
            difference <= 1e-6 * (sizes[row] as number),
            `row ${row} of expert ${expert}: off by ${difference}`,
          );
        });
      }
    });
  });
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
