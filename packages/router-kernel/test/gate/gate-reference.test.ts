import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createCpuGatedRouter } from '../../src/cpu/index.ts';
import { gateRounding, referenceGatedRoute, referenceLogits } from '../../src/gate/gate-reference.ts';
import type { GatedRouterConfig } from '../../src/gate/gate-contract.ts';
import { resolveGatedRouterConfig } from '../../src/gate/resolve-gate.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { compareGatedOutput } from '../../src/suite/index.ts';

const bf16 = (values: readonly number[]): Uint16Array => encodeLogits(values, 'bf16') as Uint16Array;

describe('the reference of the gate projection', () => {
  it('gives the sums of products that one works out by hand', () => {
    const gate: GatedRouterConfig = {
      experts: 3,
      topK: 2,
      hiddenSize: 8,
      gateWeight: bf16([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5, -4, 1, 1, 1, 1, 1, 1, 1, 1]),
      gateBias: Float32Array.of(0, 10, -1),
    };
    const hidden = bf16([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    const { routerLogits, ids, weights } = referenceGatedRoute(gate, hidden);
    assert.deepEqual(routerLogits, Float32Array.of(5, -18.5, 35, 0, 10, -1));
    assert.deepEqual(ids, Int32Array.of(2, 0, 1, 0));
    assert.ok(Math.abs((weights[0] ?? 0) - 1 / (1 + Math.exp(-30))) < 1e-7);
  });

  it('allows more rounding for longer rows and larger products, and none for nothing', () => {
    assert.ok(gateRounding(2880, 1) > gateRounding(1024, 1));
    assert.equal(Math.round(gateRounding(2880, 2) / gateRounding(2880, 1)), 2);
    assert.ok(gateRounding(2880, 0) < 1e-30);
    // 3 pieces of 8 columns, two roundings a product, 7 levels of pairs and the bias.
    assert.ok(Math.abs(gateRounding(2880, 1) / (56 * 2 ** -24) - 1) < 1e-5);
  });

  it('is met by the CPU for any shape, and rows do not depend on each other', () => {
    const shapes = fc.record({
      experts: fc.integer({ min: 1, max: 20 }),
      pieces: fc.integer({ min: 1, max: 300 }),
      tokens: fc.integer({ min: 1, max: 4 }),
      isBf16: fc.boolean(),
      hasBias: fc.boolean(),
      seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(shapes, ({ experts, pieces, tokens, isBf16, hasBias, seed }) => {
        let state = seed;
        const next = (): number => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
          return state / 2 ** 31;
        };
        const hiddenSize = pieces * 8;
        const hiddenDtype = isBf16 ? 'bf16' : 'f32';
        const config: GatedRouterConfig = {
          experts,
          topK: Math.min(experts, 4),
          hiddenSize,
          hiddenDtype,
          gateWeight: bf16(Array.from({ length: experts * hiddenSize }, next)),
          ...(hasBias && { gateBias: Float32Array.from({ length: experts }, next) }),
        };
        const hidden = encodeLogits(Array.from({ length: tokens * hiddenSize }, next), hiddenDtype) as Uint16Array;
        const router = createCpuGatedRouter(config);
        const output = router.routeSync(hidden);
        const call = { tokens, rowStride: hiddenSize, paddingMask: null, rowCount: tokens };
        const compared = compareGatedOutput(resolveGatedRouterConfig(config), hidden, call, output);
        assert.deepEqual(compared.problems, []);
        const last = router.routeSync(hidden.slice((tokens - 1) * hiddenSize));
        assert.deepEqual(last.routerLogits, output.routerLogits.slice((tokens - 1) * experts));
      }),
      { numRuns: 60 },
    );
  });

  it('finds a logit that left out a column', () => {
    const gate: GatedRouterConfig = {
      experts: 2,
      topK: 1,
      hiddenSize: 2880,
      gateWeight: new Uint16Array(2 * 2880).fill(0x3f80),
    };
    const hidden = new Uint16Array(2880).fill(0x3f80);
    const resolved = resolveGatedRouterConfig(gate);
    assert.deepEqual(Array.from(referenceLogits(resolved, hidden, 0).logits), [2880, 2880]);
    const output = createCpuGatedRouter(gate).routeSync(hidden);
    output.routerLogits[1] = 2879;
    const call = { tokens: 1, rowStride: 2880, paddingMask: null, rowCount: 1 };
    assert.equal(compareGatedOutput(resolved, hidden, call, output).mismatchedLogits, 1);
  });
});
