/** The suite for gated routers: the CPU passes it, and spoilt routers do not. */

import assert from 'node:assert/strict';
import { createCpuGatedRouter } from '../../src/cpu/index.ts';
import { BackendUnavailableError, DisposedError } from '../../src/errors.ts';
import type { GatedRouter, GatedRouterConfig, GatedRouterOutput, HiddenStates } from '../../src/gate/gate-contract.ts';
import { gateCases, runGateSuite } from '../../src/suite/index.ts';
import type { GateSuiteResult } from '../../src/suite/index.ts';

/** Runs the smoke level on a router whose answers are spoilt before they are returned. */
function runSpoilt(
  spoil: (output: GatedRouterOutput, config: GatedRouterConfig, hidden: HiddenStates) => GatedRouterOutput | void,
): Promise<GateSuiteResult> {
  const factory = async (config: GatedRouterConfig): Promise<GatedRouter> => {
    const router = createCpuGatedRouter(config);
    return Object.assign(Object.create(router) as GatedRouter, {
      route: async (hidden: HiddenStates, options = {}) => {
        const output = router.routeSync(hidden, options);
        return (spoil(output, config, hidden) as GatedRouterOutput | undefined) ?? output;
      },
      [Symbol.asyncDispose]: () => router.dispose(),
    });
  };
  return runGateSuite(factory, { level: 'smoke' });
}

function problemsOf({ failures }: GateSuiteResult): string {
  return failures.flatMap(({ problems }) => problems).join('\n');
}

/** The next f32 away from 0. */
function nextBits(value: number): number {
  const cell = new Float32Array([value]);
  const bits = new Uint32Array(cell.buffer);
  bits[0] = (bits[0] ?? 0) + 1;
  return cell[0] ?? 0;
}

describe('the gate suite', function () {
  this.timeout(60_000);

  it('is passed by the CPU router, with logits well inside their rounding', async () => {
    const result = await runGateSuite(async (config) => createCpuGatedRouter(config), { level: 'smoke' });
    assert.deepEqual(result.failures, []);
    assert.equal(result.cases, gateCases('smoke').length);
    assert.ok(result.rows > 200, `${result.rows} rows`);
    assert.ok(result.worstLogitError > 0 && result.worstLogitError < 0.5, String(result.worstLogitError));
  });

  it('catches a logit that is off by a thousandth', async () => {
    const result = await runSpoilt(({ routerLogits }) => {
      if (Number.isFinite(routerLogits[0])) routerLogits[0] = (routerLogits[0] ?? 0) * 1.001 + 1e-3;
    });
    assert.ok(result.mismatchedLogits > 0 && result.worstLogitError > 1);
  });

  it('catches infinities that come out finite, and NaN as a number', async () => {
    const result = await runSpoilt(({ routerLogits }) => {
      routerLogits.forEach((logit, i) => {
        if (!Number.isFinite(logit)) routerLogits[i] = 0;
      });
    });
    assert.equal(result.worstLogitError, Infinity);
    assert.deepEqual(new Set(result.failures.map(({ section }) => section)), new Set(['gate shapes']));
  });

  it('catches ids that are not those of the logits', async () => {
    const result = await runSpoilt(({ ids }) => {
      if (ids.length > 0) ids[0] = ids instanceof BigInt64Array ? 7n : 7;
    });
    assert.ok(result.mismatchedIds > 0);
  });

  it('catches rows that depend on how many there are, by one bit of one logit', async () => {
    const result = await runSpoilt(({ routerLogits, tokens }) => {
      if (tokens > 5) routerLogits[1] = nextBits(routerLogits[1] ?? 0);
    });
    assert.deepEqual(
      new Set(result.failures.map(({ section }) => section)),
      new Set(['numbers of tokens', 'equal experts']),
    );
    assert.match(problemsOf(result), /row 0 of \d has other logits than among 9/);
  });

  it('catches experts of equal weights whose logits differ by a bit', async () => {
    const result = await runSpoilt(({ routerLogits }, { experts }) => {
      if (routerLogits.length > 0) routerLogits[experts - 1] = nextBits(routerLogits[experts - 1] ?? 0);
    });
    assert.match(problemsOf(result), /have equal weights and other logits/);
  });

  it('catches logits that are missing, of another length, and of the row before', async () => {
    const bare = await runSpoilt((output) => {
      const { routerLogits: _, ...rest } = output;
      return rest as GatedRouterOutput;
    });
    assert.equal(bare.failures.length, bare.cases);
    const short = await runSpoilt((output) => ({ ...output, routerLogits: output.routerLogits.slice(1) }));
    assert.match(problemsOf(short), /routerLogits is Float32Array\(\d+\)/);
    const moved = await runSpoilt(({ routerLogits }, { experts }) => {
      routerLogits.copyWithin(experts, 0, experts);
    });
    assert.ok(moved.mismatchedLogits > 0);
  });

  it('catches an input that was written to, and a plan in the wrong order', async () => {
    const written = await runSpoilt((_, __, hidden) => {
      hidden[0] = 1;
    });
    assert.match(problemsOf(written), /the input was modified/);
    const disordered = await runSpoilt(({ dispatchPlan }) => {
      const slots = dispatchPlan?.sortedSlots;
      slots?.set(slots.toReversed());
    });
    assert.match(problemsOf(disordered), /sortedSlots/);
  });

  it('goes on after a router that throws, and gives up where there is no backend', async () => {
    const result = await runSpoilt((_, { hiddenSize }) => {
      if (hiddenSize === 72) throw new RangeError('no kernel for H = 72');
    });
    assert.match(problemsOf(result), /no kernel for H = 72/);
    assert.deepEqual(
      result.failures.map(({ name }) => name),
      ['E 32, K 4, H 72, f32, softmax'],
    );
    const unavailable = async (): Promise<GatedRouter> => {
      throw new BackendUnavailableError('hip', 'No GPU here.');
    };
    await assert.rejects(runGateSuite(unavailable, { level: 'smoke' }), BackendUnavailableError);
  });
});

describe('CpuGatedRouter', () => {
  it('refuses to route once it is disposed of', async () => {
    const router = createCpuGatedRouter({ experts: 1, topK: 1, hiddenSize: 8, gateWeight: new Uint16Array(8) });
    await router.dispose();
    await router.dispose();
    assert.throws(() => router.routeSync(new Uint16Array(8)), DisposedError);
    await assert.rejects(router.route(new Uint16Array(8)), DisposedError);
  });
});
