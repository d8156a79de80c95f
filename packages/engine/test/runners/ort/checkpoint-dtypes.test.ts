import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSnapshot, type Tensor } from '@switchyard/models';
import fc from 'fast-check';
import { blocks8Weight } from '../../../src/runners/ort/dense-weights.ts';
import { byteLength } from '../../../src/runners/ort/element-type.ts';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';
import { WeightReader } from '../../../src/runners/ort/weight-reader.ts';
import type { LoadingStep } from '../../../src/runners/load-plan.ts';
import { forward } from '../../../src/reference/forward.ts';
import { type FloatDtype, type Rewriting, writeRewrittenCheckpoint } from '../../fixtures/rewritten-checkpoint.ts';
import { argmax, reference } from '../../golden/reference.ts';

const IDS = reference[0]?.ids ?? [];
const DTYPES: readonly FloatDtype[] = ['BF16', 'F16', 'F32'];

/** Each tensor another dtype than the one before it. */
function mixed(): (name: string) => FloatDtype {
  let count = 0;
  return () => DTYPES[count++ % DTYPES.length] as FloatDtype;
}

/** Those that some tools keep in f32: sinks, norms and the router. */
const sensitiveInF32 = (name: string): FloatDtype => (/norm|sinks|router/.test(name) ? 'F32' : 'BF16');

interface Answer {
  /** Of all prompt tokens, and of those chosen after them. */
  readonly logits: readonly Float32Array[];
  readonly tokens: readonly number[];
  /** The load's last word. */
  readonly loaded: LoadingStep;
}

/** What a model answers, greedily. */
async function answerOf(folder: string, expertPrecision: 'exact' | 'int4'): Promise<Answer> {
  using snapshot = await openSnapshot(folder);
  const steps: LoadingStep[] = [];
  await using runner = await createOrtRunner({
    snapshot,
    router: 'cpu',
    expertPrecision,
    onProgress: (step) => steps.push(step),
  });
  const sequence = runner.createSequence();
  const [prompt] = await runner.forward([{ sequence, tokens: Int32Array.from(IDS), logits: 'all' }]);
  assert.ok(prompt);
  const logits = [prompt.logits];
  const tokens = [argmax(prompt.logits.subarray(-runner.vocabularySize))];
  while (tokens.length < 8) {
    const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(tokens.at(-1) as number) }]);
    assert.ok(output);
    logits.push(output.logits);
    tokens.push(argmax(output.logits));
  }
  return { logits, tokens, loaded: steps.at(-1) as LoadingStep };
}

describe('a checkpoint in other dtypes', () => {
  let root: string;
  let folders = 0;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'switchyard-dtypes-'));
  });
  after(() => rm(root, { recursive: true }));

  async function rewritten(rewriting: Rewriting): Promise<string> {
    const folder = await mkdtemp(join(root, `${folders++}-`));
    await writeRewrittenCheckpoint(folder, rewriting);
    return folder;
  }

  const ways: readonly [string, () => (name: string) => FloatDtype][] = [
    ['f16', () => () => 'F16'],
    ['f32', () => () => 'F32'],
    ['each tensor in another', mixed],
    ['sinks, norms and router in f32', () => sensitiveInF32],
  ];

  it('answers as the embedded one, whose values it has', async () => {
    const { tokens } = await answerOf(await rewritten({ dtypeOf: () => 'F16' }), 'exact');
    assert.deepEqual(tokens, reference[0]?.greedy.slice(0, tokens.length));
  });

  for (const dequantize of [false, true]) {
    const experts = dequantize ? 'dequantised, with a quantization_config left in' : 'as MXFP4';
    for (const precision of dequantize ? (['exact'] as const) : (['exact', 'int4'] as const)) {
      it(`answers as in bf16, to the bit: experts ${experts}, ${precision}`, async () => {
        const layers = dequantize ? 1 : 2;
        const base = await answerOf(await rewritten({ dtypeOf: () => 'BF16', dequantize, layers }), precision);
        for (const [what, dtypeOf] of ways) {
          const other = await answerOf(await rewritten({ dtypeOf: dtypeOf(), dequantize, layers }), precision);
          assert.deepEqual(other.tokens, base.tokens, what);
          assert.deepEqual(other.logits, base.logits, what);
          assert.equal(other.loaded.doneBytes, other.loaded.totalBytes, what);
        }
      });
    }
  }

  it('answers dequantised as with MXFP4 experts, within what sums in another order differ by', async () => {
    const mxfp4 = await answerOf(await rewritten({ dtypeOf: mixed(), layers: 1 }), 'exact');
    const floats = await answerOf(await rewritten({ dtypeOf: mixed(), layers: 1, dequantize: true }), 'exact');
    assert.deepEqual(floats.tokens, mxfp4.tokens);
    const difference = mxfp4.logits.flatMap((row, index) =>
      Array.from(row, (value, column) => Math.abs(value - (floats.logits[index]?.[column] ?? Number.NaN))),
    );
    assert.ok(difference.reduce((most, value) => Math.max(most, value), 0) < 1e-3);
  });

  it('is the same model in f64', async () => {
    const ids = IDS.slice(0, 6);
    const logits: Float64Array[] = [];
    for (const dtypeOf of [(): FloatDtype => 'BF16', mixed()]) {
      using snapshot = await openSnapshot(await rewritten({ dtypeOf, layers: 1 }));
      logits.push(forward(snapshot, ids).logits);
    }
    assert.deepEqual(logits[1], logits[0]);
  });
});

describe('weights as 8-bit blocks', () => {
  const [ROWS, COLUMNS] = [3, 64] as const;

  function converted(
    dtype: Tensor['dtype'],
    bytes: Uint8Array,
    rows: number = ROWS,
  ): { codes: Uint8Array; scales: Float32Array } {
    const weight = blocks8Weight('weight', [{ name: 'test', dtype, shape: [rows, COLUMNS], bytes }]);
    const targets = weight.constants.map(({ type, shape }) => new Uint8Array(byteLength(type, shape)));
    weight.write(targets, new WeightReader());
    const [codes, scales] = targets as [Uint8Array, Uint8Array];
    return { codes, scales: new Float32Array(scales.buffer) };
  }

  const anyFloat = fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e4, max: 1e4 }),
    fc.constantFrom(0, -0, Math.fround(1e-30), 65504, -65504),
  );

  it('are of any dtype what their values are: 127 steps to the largest of a block', () => {
    fc.assert(
      fc.property(fc.array(anyFloat, { minLength: ROWS * COLUMNS, maxLength: ROWS * COLUMNS }), (list) => {
        const values = Float32Array.from(list);
        const { codes, scales } = converted('F32', new Uint8Array(values.slice().buffer));
        scales.forEach((scale, block) => {
          const own = values.subarray(block * 32, (block + 1) * 32);
          const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          assert.equal(scale, Math.fround(largest / 127));
          own.forEach((value, index) => {
            const found = ((codes[block * 32 + index] as number) - 128) * scale;
            assert.ok(Math.abs(found - value) <= 0.5001 * scale + 1e-40, `${value} as ${found}`);
          });
        });
        // In bf16, the same values give the same blocks.
        const bits = new Uint32Array(values.buffer).map((word) => word & 0xffff_0000);
        const halves = Uint16Array.from(bits, (word) => word >>> 16);
        assert.deepEqual(
          converted('BF16', new Uint8Array(halves.buffer)),
          converted('F32', new Uint8Array(bits.buffer)),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('are of f16 what f32 of the same values gives, for every f16', () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    const rows = halves.length / COLUMNS;
    const f16 = converted('F16', new Uint8Array(halves.buffer), rows);
    const f32 = converted('F32', new Uint8Array(Float32Array.from(halves, f16Value).buffer), rows);
    assert.deepEqual(f16.codes, f32.codes);
    // As numbers: bits of NaN differ.
    assert.deepEqual(Array.from(f16.scales), Array.from(f32.scales));
  });

  it('have no number for a scale where a value is none', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => (index === 40 ? value : index));
      const { scales } = converted('F32', new Uint8Array(values.buffer));
      assert.deepEqual(Array.from(scales, Number.isNaN), [false, true, false, false, false, false]);
    }
  });
});

/** IEEE 754 binary16, by its definition. */
function f16Value(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 0x3ff];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
