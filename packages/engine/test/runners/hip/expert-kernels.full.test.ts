import assert from 'node:assert/strict';
import { KernelEmulator } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { gateBlocks, gateForm } from '../../../src/runners/hip/dense-kernels.ts';
import {
  arrangeBlocks,
  arrangeCodesForm,
  combineForm,
  listedExpertBlocks,
  listedExpertForms,
  slotExpertBlocks,
  slotExpertForms,
} from '../../../src/runners/hip/expert-kernels.ts';
import { multipliesBf16Tiles } from '../../../src/runners/hip/mxfp4-product.ts';
import { EMULATED_TARGETS, NVIDIA_TARGET } from './emulated-runner.ts';
import {
  TWO_TERM_TOLERANCE,
  asVectors,
  assertNear,
  fromVectors,
  guarded,
  mxfp4,
  normed,
  outputOf,
  planOf,
  stepOf,
  vectorWords,
} from './kernel-cases.ts';
import { SMALL_CONFIG, asBf16, contextFor, randomFloats, runForm } from './small-model.ts';

const { hiddenSize, intermediateSize, experts, expertsPerToken, swigluLimit } = SMALL_CONFIG;

/** So many that shares begin and end in the middle of an expert's rows. */
const MULTIPROCESSORS = 5;

const bitsOf = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** What a row's experts add to it, in f64. */
function expertsOf(
  x: Float64Array,
  ids: Int32Array,
  weights: Float32Array,
  { gateUp, down }: { readonly gateUp: ReturnType<typeof mxfp4>; readonly down: ReturnType<typeof mxfp4> },
): Float64Array {
  const sum = new Float64Array(hiddenSize);
  ids.forEach((expert, k) => {
    const both = gateUp.apply(expert, x);
    const activated = Float64Array.from({ length: intermediateSize }, (_, index) => {
      const gate = Math.min(both[2 * index] as number, swigluLimit);
      const up = Math.min(Math.max(both[2 * index + 1] as number, -swigluLimit), swigluLimit);
      return ((up + 1) * gate) / (1 + Math.exp(-1.702 * gate));
    });
    down.apply(expert, activated).forEach((value, index) => {
      sum[index] = (sum[index] as number) + (weights[k] as number) * value;
    });
  });
  return sum;
}

/** The K largest logits' experts, of equal ones the lower, and the softmax over them, in f64. */
function routed(logits: Float32Array): { readonly ids: number[]; readonly weights: number[] } {
  const ids = [...logits.keys()]
    .sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
    .slice(0, expertsPerToken);
  const shares = ids.map((id) => Math.exp((logits[id] as number) - (logits[ids[0] as number] as number)));
  const sum = shares.reduce((total, share) => total + share, 0);
  return { ids, weights: shares.map((share) => share / sum) };
}

for (const target of [...EMULATED_TARGETS, NVIDIA_TARGET]) {
  describe(`the GPU runner's expert kernels, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    const context = contextFor(target);
    const isOfTiles = multipliesBf16Tiles(target);
    const activatedWords = vectorWords(intermediateSize, context);
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

    /** A projection of slots that are listed by expert: `width` numbers for each. */
    const runListed = (
      name: 'gateUp' | 'down',
      { onDevice }: ReturnType<typeof mxfp4>,
      {
        ids,
        input,
        width,
        multiprocessors = MULTIPROCESSORS,
      }: {
        readonly ids: Int32Array;
        readonly input: Float32Array;
        readonly width: number;
        readonly multiprocessors?: number;
      },
    ): Float32Array => {
      const { offsets, sorted } = planOf(ids);
      const size = { rows: ids.length / expertsPerToken, multiprocessors };
      const { blocks, room } = listedExpertBlocks(context, name, size);
      const output = outputOf(ids.length * width);
      runForm(emulator, listedExpertForms(context)[name], blocks, {
        ...onDevice,
        input,
        offsets,
        sortedSlots: sorted,
        output,
        room,
      });
      return guarded(output);
    };

    it('slot by slot and listed by expert: the same bits, and those of the reference', () => {
      const rows = 7;
      // One row more than there is room for in the step: it has to find nothing to do.
      const room = rows + 1;
      const step = stepOf(rows);
      const residual = randomFloats(rows * hiddenSize, 41, 2);
      const gain = randomFloats(hiddenSize, 42);
      const gateUp = mxfp4(2 * intermediateSize, hiddenSize, 43);
      const down = mxfp4(hiddenSize, intermediateSize, 44);
      arrange(gateUp.onDevice.codes);
      arrange(down.onDevice.codes);
      // Two experts are equal, and one is chosen by most rows.
      const gateWeight = asBf16(randomFloats(experts * hiddenSize, 45, 1 / Math.sqrt(hiddenSize))).bits;
      gateWeight.copyWithin(3 * hiddenSize, 2 * hiddenSize, 3 * hiddenSize);
      const gateBias = Float32Array.from({ length: experts }, (_, index) => (index === 5 ? 2 : 0));
      const [logits, normedRows] = [outputOf(rows * experts), outputOf(rows * vectorWords(hiddenSize, context))];
      runForm(emulator, gateForm(context, 8), gateBlocks(context, 1), {
        step,
        weight: gateWeight,
        bias: gateBias,
        gain,
        residual,
        logits,
        normed: normedRows,
        tiles: 1,
      });

      const slots = rows * expertsPerToken;
      const forms = slotExpertForms(context);
      const activated = outputOf(slots * activatedWords);
      runForm(emulator, forms.gateUp, slotExpertBlocks(context, 'gateUp', room), {
        step,
        ...gateUp.onDevice,
        gain,
        residual,
        logits,
        output: activated,
        slots: room * expertsPerToken,
      });
      const [ids, weights] = [new Int32Array(slots + 16).fill(-7), outputOf(slots)];
      const sum = outputOf(rows * hiddenSize);
      sum.set(residual);
      runForm(emulator, forms.down, slotExpertBlocks(context, 'down', room), {
        step,
        ...down.onDevice,
        logits,
        activated,
        ids,
        weights,
        residual: sum,
        rows: room,
      });
      assert.ok(ids.subarray(slots).every((id) => id === -7));

      const chosen = ids.slice(0, slots);
      const listed = runListed('gateUp', gateUp, { ids: chosen, input: normedRows, width: activatedWords });
      assert.equal(bitsOf(guarded(activated)), bitsOf(listed), 'activations');
      const output = runListed('down', down, { ids: chosen, input: listed, width: hiddenSize });
      const combined = outputOf(rows * hiddenSize);
      combined.set(residual);
      runForm(emulator, combineForm(context), room, { step, weights, output, residual: combined });
      assert.equal(bitsOf(guarded(sum)), bitsOf(guarded(combined)), 'weighted sums');

      const input = normed(residual, gain);
      const expected = new Float64Array(residual);
      for (let row = 0; row < rows; row++) {
        const right = routed(guarded(logits).subarray(row * experts, (row + 1) * experts));
        const [first, end] = [row * expertsPerToken, (row + 1) * expertsPerToken];
        assert.deepEqual([...ids.subarray(first, end)], right.ids, `experts of row ${row}`);
        assertNear(weights.slice(first, end), right.weights, 1e-6, `weights of row ${row}`);
        const x = input.slice(row * hiddenSize, (row + 1) * hiddenSize);
        expertsOf(x, ids.slice(first, end), weights.slice(first, end), { gateUp, down }).forEach((value, column) => {
          const at = row * hiddenSize + column;
          expected[at] = (expected[at] as number) + value;
        });
      }
      assertNear(guarded(sum), expected, isOfTiles ? 2 * TWO_TERM_TOLERANCE : 4e-6, 'experts');
    });

    it('routing of a row: numbers before -Infinity before NaN, of equal ones the lower, zeros alike', () => {
      const rows = Array.from({ length: 4 }, () => new Float32Array(experts).fill(-3));
      const [zeros, noNumbers, infinite, all] = rows as [Float32Array, Float32Array, Float32Array, Float32Array];
      [zeros[7], zeros[4], zeros[1]] = [0, -0, -1];
      noNumbers.fill(Number.NaN);
      [noNumbers[9], noNumbers[11]] = [Number.NEGATIVE_INFINITY, 5];
      [infinite[6], infinite[2]] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      all.fill(Number.NEGATIVE_INFINITY);
      const logits = Float32Array.from(rows.flatMap((row) => [...row]));
      const down = mxfp4(hiddenSize, intermediateSize, 46);
      const slots = rows.length * expertsPerToken;
      const [ids, weights] = [new Int32Array(slots), new Float32Array(slots)];
      runForm(emulator, slotExpertForms(context).down, slotExpertBlocks(context, 'down', rows.length), {
        step: stepOf(rows.length),
        ...down.onDevice,
        logits,
        activated: new Float32Array(slots * activatedWords),
        ids,
        weights,
        residual: new Float32Array(rows.length * hiddenSize),
        rows: rows.length,
      });
      const of = (values: Int32Array | Float32Array): number[][] =>
        rows.map((_, row) => [...values.subarray(row * expertsPerToken, (row + 1) * expertsPerToken)]);
      assert.deepEqual(of(ids), [
        [4, 7, 1],
        [11, 9, 0],
        [2, 6, 0],
        [0, 1, 2],
      ]);
      const third = Math.fround(1 / 3);
      const [first, second, ...others] = of(weights);
      const share = Math.exp(-1);
      assertNear(
        Float32Array.from(first ?? []),
        [1 / (2 + share), 1 / (2 + share), share / (2 + share)],
        1e-6,
        'zeros',
      );
      assert.deepEqual(second, [1, 0, 0]);
      assert.deepEqual(others, [
        [0.5, 0.5, 0],
        [third, third, third],
      ]);
    });

    it('MXFP4: every code under scales from the least to the largest that matters, and NaN', () => {
      const weights = mxfp4(hiddenSize, intermediateSize, 50);
      const scales = weights.onDevice.scales;
      // Products of bf16 tiles take weights below 2^-69 for less than they are.
      const used = [...(isOfTiles ? [] : [0, 1]), 60, 126, 127, 128, 190];
      scales.forEach((_, index) => {
        scales[index] = used[index % used.length] as number;
      });
      scales[0] = 255;
      arrange(weights.onDevice.codes);
      const ids = Int32Array.from({ length: expertsPerToken }, (_, k) => k);
      const input = randomFloats(ids.length * intermediateSize, 51);
      const vectors = asVectors(input, intermediateSize, context);
      const found = runListed('down', weights, { ids, input: vectors, width: hiddenSize });
      assert.ok(Number.isNaN(found[0]), 'a block of NaN makes its row NaN');
      ids.forEach((expert, slot) => {
        const x = new Float64Array(input.subarray(slot * intermediateSize, (slot + 1) * intermediateSize));
        const right = weights.apply(expert, x);
        const sizes = weights.apply(expert, x.map(Math.abs), true);
        right.forEach((value, row) => {
          if (Number.isNaN(value)) return;
          const difference = Math.abs((found[slot * hiddenSize + row] as number) - value);
          assert.ok(
            difference <= (isOfTiles ? 2 ** -17 : 1e-6) * (sizes[row] as number) + 1e-45,
            `row ${row} of expert ${expert}: off by ${difference}`,
          );
        });
      });
    });

    it('down: a slot has the same bits alone and among many, whoever computes it', () => {
      const weights = mxfp4(hiddenSize, intermediateSize, 60);
      arrange(weights.onDevice.codes);
      // More tiles of slots than one block takes note of at once; one expert has a tile that is not full.
      const rows = 73;
      const ids = Int32Array.from({ length: rows * expertsPerToken }, (_, slot) => (slot * 5 + (slot % 7)) % experts);
      const input = asVectors(randomFloats(ids.length * intermediateSize, 61), intermediateSize, context);
      const many = { ids, input, width: hiddenSize };
      const byOne = runListed('down', weights, { ...many, multiprocessors: 1 });
      const byMany = runListed('down', weights, { ...many, multiprocessors: 29 });
      assert.equal(bitsOf(byOne), bitsOf(byMany));
      const words = vectorWords(intermediateSize, context);
      const [first, end] = [7 * expertsPerToken, 8 * expertsPerToken];
      const alone = runListed('down', weights, {
        ids: ids.slice(first, end),
        input: input.slice(first * words, end * words),
        width: hiddenSize,
      });
      assert.equal(bitsOf(alone), bitsOf(byOne.slice(first * hiddenSize, end * hiddenSize)));
    });

    it('gate and up: NaN stays NaN, and numbers past the limit do not', () => {
      const weights = mxfp4(2 * intermediateSize, hiddenSize, 55);
      const { bias } = weights.onDevice;
      [bias[0], bias[3], bias[4], bias[5]] = [Number.NaN, Number.NaN, 1e30, -1e30];
      arrange(weights.onDevice.codes);
      const ids = Int32Array.from({ length: expertsPerToken }, () => 0);
      const vectors = runListed('gateUp', weights, {
        ids,
        input: asVectors(randomFloats(hiddenSize, 56), hiddenSize, context),
        width: activatedWords,
      });
      const output = fromVectors(vectors, intermediateSize, context);
      const [ofGate, ofUp, limited, ...others] = output.subarray(0, intermediateSize);
      assert.ok(Number.isNaN(ofGate) && Number.isNaN(ofUp), 'NaN of the gate or of the other half');
      const right = ((1 - swigluLimit) * swigluLimit) / (1 + Math.exp(-1.702 * swigluLimit));
      assert.ok(
        Math.abs((limited as number) / right - 1) < (isOfTiles ? 2 ** -16 : 1e-6),
        `${limited} where ${right} is right`,
      );
      assert.ok(others.every(Number.isFinite));
    });
  });
}
