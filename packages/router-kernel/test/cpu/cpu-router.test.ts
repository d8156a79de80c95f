import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { checkRouteArguments, resolveRouterConfig } from '../../src/resolve-config.ts';
import type { IdsDtype, Logits, LogitsDtype, RouterConfig } from '../../src/contract.ts';
import { CpuRouter, createCpuRouter } from '../../src/cpu/index.ts';
import type { RouterOutputArrays } from '../../src/cpu/index.ts';
import { DisposedError, InvalidArgumentError } from '../../src/errors.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { compareOutput } from '../../src/suite/index.ts';

const dtype = fc.constantFrom<LogitsDtype>('bf16', 'f16', 'f32');

/** Any configuration within the limits, of up to 80 experts. */
const anyConfig: fc.Arbitrary<RouterConfig> = fc
  .record({ groups: fc.integer({ min: 1, max: 8 }), groupSize: fc.integer({ min: 1, max: 10 }) })
  .chain(({ groups, groupSize }) => {
    const experts = groups * groupSize;
    return fc.integer({ min: 1, max: groups }).chain((topKGroups) =>
      fc.record(
        {
          experts: fc.constant(experts),
          groups: fc.constant(groups),
          topKGroups: fc.constant(topKGroups),
          topK: fc.integer({ min: 1, max: Math.min(32, topKGroups * groupSize) }),
          logitsDtype: dtype,
          idsDtype: fc.constantFrom<IdsDtype>('i32', 'u32', 'i64'),
          scoring: fc.constantFrom('softmax', 'sigmoid', 'sqrtsoftplus'),
          renormalize: fc.boolean(),
          routedScalingFactor: fc.constantFrom(1, 1.5, 2.5, -1),
          correctionBias: fc
            .array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: experts, maxLength: experts })
            .map((values) => Float32Array.from(values)),
          expertRange: fc
            .tuple(fc.nat(experts), fc.nat(experts))
            .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]),
          tokenExpertIndices: fc.boolean(),
          dispatchPlan: fc.boolean(),
        },
        { requiredKeys: ['experts', 'topK', 'groups', 'topKGroups'] },
      ),
    );
  });

/** Any bits at all: every NaN, subnormal and infinity, with plenty of repeats. */
function anyLogits(config: RouterConfig, elements: number): fc.Arbitrary<Logits> {
  const length = { minLength: elements, maxLength: elements };
  const few = fc.constantFrom(0, -0, 1, -1, 2, NaN, Infinity, -Infinity);
  const format = config.logitsDtype ?? 'f32';
  const values = fc.array(few, length).map((numbers) => encodeLogits(numbers, format));
  if (format === 'f32') return fc.oneof(values, fc.float32Array(length));
  return fc.oneof(values, fc.uint16Array(length));
}

const anyCall = anyConfig.chain((config) =>
  fc.record({ rows: fc.integer({ min: 0, max: 6 }), gap: fc.integer({ min: 0, max: 3 }) }).chain(({ rows, gap }) =>
    fc.record({
      config: fc.constant(config),
      logits: anyLogits(config, rows * (config.experts + gap)),
      options: fc.record(
        {
          rowStride: fc.constant(config.experts + gap),
          tokens: fc.constant(rows),
          rowCount: fc.nat(rows),
          paddingMask: fc.uint8Array({ minLength: rows, maxLength: rows }),
        },
        { requiredKeys: ['rowStride', 'tokens'] },
      ),
    }),
  ),
);

describe('CpuRouter', () => {
  it('answers as the reference for any configuration and any bits', () => {
    fc.assert(
      fc.property(anyCall, ({ config, logits, options }) => {
        const router = createCpuRouter(config);
        const call = checkRouteArguments(router.config, logits, options);
        const before = logits.slice();
        const compared = compareOutput(router.config, before, call, router.routeSync(logits, options));
        assert.deepEqual(compared.problems, []);
      }),
      { numRuns: 1500 },
    );
  });

  it('gives K distinct ids and finite weights that sum to 1, whatever the softmax row', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }).chain((experts) =>
          fc.record({
            topK: fc.integer({ min: 1, max: Math.min(experts, 32) }),
            logits: fc.uint16Array({ minLength: experts, maxLength: experts }),
            logitsDtype: fc.constantFrom<LogitsDtype>('bf16', 'f16'),
          }),
        ),
        ({ topK, logits, logitsDtype }) => {
          const output = createCpuRouter({ experts: logits.length, topK, logitsDtype }).routeSync(logits);
          const ids = Array.from(output.ids, Number);
          assert.equal(new Set(ids).size, topK);
          assert.ok(ids.every((id) => id >= 0 && id < logits.length));
          const sum = output.weights.reduce((total, weight) => total + weight, 0);
          assert.ok(Math.abs(sum - 1) < 1e-6, `the weights sum to ${sum}`);
        },
      ),
    );
  });

  it('ranges together give what one router gives', () => {
    const logits = Float32Array.from({ length: 5 * 12 }, (_, i) => Math.sin(i * 12.9898) * 3);
    const config = { experts: 12, topK: 4 } as const;
    const whole = createCpuRouter(config).routeSync(logits);
    const shares = (
      [
        [0, 5],
        [5, 6],
        [6, 12],
      ] as const
    ).map((expertRange) => createCpuRouter({ ...config, expertRange }).routeSync(logits));
    for (let slot = 0; slot < whole.ids.length; slot++) {
      const owners = shares.filter((share) => share.ids[slot] !== -1);
      assert.equal(owners.length, 1);
      assert.equal(owners[0]?.ids[slot], whole.ids[slot]);
      assert.equal(owners[0]?.weights[slot], whole.weights[slot]);
    }
  });

  it('route gives what routeSync gives', async () => {
    const router = createCpuRouter({ experts: 6, topK: 3, dispatchPlan: true });
    const logits = Float32Array.of(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8);
    assert.deepEqual(await router.route(logits), router.routeSync(logits));
  });
});

describe('CpuRouter.routeInto', () => {
  const full = { experts: 5, topK: 2, tokenExpertIndices: true, dispatchPlan: true } as const;
  const logits = Float32Array.of(1, 2, 3, 4, 5, 5, 4, 3, 2, 1);

  for (const idsDtype of ['i32', 'u32', 'i64'] as const) {
    it(`writes ${idsDtype} ids into the caller's arrays, and nothing past T`, () => {
      const router = createCpuRouter({ ...full, idsDtype });
      const outputs = router.createOutputs(4);
      const expected = router.routeSync(logits);
      for (const slot of outputs.ids.keys()) outputs.ids[slot] = idsDtype === 'i64' ? 77n : 77;
      outputs.weights.fill(77);
      outputs.tokenExpertIndices?.fill(77);
      outputs.dispatchPlan?.sortedSlots.fill(77);
      router.routeInto(logits, outputs);
      assert.deepEqual(outputs.ids.slice(0, 4), expected.ids);
      assert.deepEqual(outputs.weights.slice(0, 4), expected.weights);
      assert.deepEqual(outputs.tokenExpertIndices?.slice(0, 4), expected.tokenExpertIndices);
      assert.deepEqual(outputs.dispatchPlan?.expertOffsets, expected.dispatchPlan?.expertOffsets);
      assert.deepEqual(outputs.dispatchPlan?.sortedSlots.slice(0, 4), expected.dispatchPlan?.sortedSlots);
      assert.deepEqual(Array.from(outputs.ids.subarray(4), Number), [77, 77, 77, 77]);
      for (const array of [outputs.weights, outputs.tokenExpertIndices, outputs.dispatchPlan?.sortedSlots]) {
        assert.deepEqual([...(array?.subarray(4) ?? [])], [77, 77, 77, 77]);
      }
    });
  }

  it('leaves nothing of an earlier call behind', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float32Array({ minLength: 10, maxLength: 10 }), { minLength: 2, maxLength: 5 }),
        (inputs) => {
          const config = { ...full, renormalize: false, idsDtype: 'i64' } as const;
          const router = createCpuRouter(config);
          const outputs = router.createOutputs(2);
          for (const input of inputs) {
            router.routeInto(input, outputs);
            assert.deepEqual(outputs, createCpuRouter(config).routeSync(input));
          }
        },
      ),
    );
  });

  it('refuses arrays that are missing, uninvited, of the wrong type or too short', () => {
    const router = createCpuRouter(full);
    const good = router.createOutputs(2);
    const { tokenExpertIndices: _, ...withoutIndices } = good;
    const { dispatchPlan: __, ...withoutPlan } = good;
    const plan = good.dispatchPlan ?? assert.fail('the configuration asks for a plan');
    const faults: readonly (readonly [argument: string, outputs: RouterOutputArrays])[] = [
      ['outputs.ids', { ...good, ids: new Uint32Array(4) }],
      ['outputs.ids', { ...good, ids: new Int32Array(3) }],
      ['outputs.weights', { ...good, weights: new Float32Array(3) }],
      ['outputs.tokenExpertIndices', withoutIndices],
      ['outputs.tokenExpertIndices', { ...good, tokenExpertIndices: new Int32Array(3) }],
      ['outputs.dispatchPlan', withoutPlan],
      ['outputs.dispatchPlan', { ...good, dispatchPlan: { ...plan, expertOffsets: new Int32Array(5) } }],
      ['outputs.dispatchPlan', { ...good, dispatchPlan: { ...plan, sortedSlots: new Int32Array(3) } }],
    ];
    for (const [argument, outputs] of faults) {
      assert.throws(
        () => router.routeInto(logits, outputs),
        (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.equal(error.argument, argument);
          assert.match(error.message, /createOutputs/);
          return true;
        },
      );
    }
    assert.throws(() => createCpuRouter({ experts: 5, topK: 2 }).routeInto(logits, good), /to be absent/);
  });
});

describe('CpuRouter.dispose', () => {
  it('makes every call throw DisposedError, and may be called again', async () => {
    const router = new CpuRouter({ experts: 2, topK: 1 });
    const outputs = router.createOutputs(1);
    await router.dispose();
    await router.dispose();
    const logits = new Float32Array(2);
    assert.throws(() => router.routeSync(logits), DisposedError);
    assert.throws(() => router.routeInto(logits, outputs), DisposedError);
    await assert.rejects(router.route(logits), { code: 'DISPOSED', message: /router \(cpu\) was used after dispose/ });
  });

  it('is called by await using', async () => {
    let kept: CpuRouter;
    {
      await using router = createCpuRouter({ experts: 2, topK: 1 });
      kept = router;
    }
    assert.throws(() => kept.routeSync(new Float32Array(2)), DisposedError);
  });

  it('keeps its own configuration', () => {
    assert.deepEqual(createCpuRouter({ experts: 2, topK: 1 }).config, resolveRouterConfig({ experts: 2, topK: 1 }));
  });
});
