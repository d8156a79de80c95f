import assert from 'node:assert/strict';
import type {
  ExpertIds,
  ExpertTiles,
  Logits,
  ResolvedRouterConfig,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../../src/contract.ts';
import { createCpuRouter } from '../../src/cpu/index.ts';
import { BackendUnavailableError } from '../../src/errors.ts';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import type { ContractSuiteResult } from '../../src/suite/index.ts';
import { asConfig } from '../router-config.ts';

/** What a sabotaged router may look at while it spoils a right answer. */
interface Sabotage {
  readonly output: RouterOutput;
  readonly logits: Logits;
  readonly options: RouteOptions;
  readonly config: ResolvedRouterConfig;
}

/** The last two cases of each section of the smoke level: what is spoilt everywhere, these see. */
const CASES = contractCases('smoke').filter(
  ({ section }, index, all) => all.slice(index + 1).filter((later) => later.section === section).length < 2,
);

/** Runs these cases on a router whose answers are spoilt before they are returned. */
function runSabotaged(
  spoil: (right: Sabotage) => RouterOutput | undefined,
  cases = CASES,
): Promise<ContractSuiteResult> {
  const factory = async (config: RouterConfig): Promise<Router> => {
    const router = createCpuRouter(config);
    return {
      backend: 'cpu',
      device: 'sabotaged',
      config: router.config,
      route: async (logits, options = {}) => {
        const output = await router.route(logits, options);
        return spoil({ output, logits, options, config: router.config }) ?? output;
      },
      dispose: () => router.dispose(),
      [Symbol.asyncDispose]: () => router.dispose(),
    };
  };
  return runContractSuite(factory, { cases });
}

function set(ids: ExpertIds, slot: number, id: number): void {
  ids[slot] = ids instanceof BigInt64Array ? BigInt(id) : id;
}

function swap(values: { [index: number]: number | bigint }, a: number, b: number): void {
  const kept = values[a] ?? 0;
  values[a] = values[b] ?? 0;
  values[b] = kept;
}

function sectionsOf({ failures }: ContractSuiteResult): Set<string> {
  return new Set(failures.map(({ section }) => section));
}

describe('the contract suite catches', () => {
  it('nothing on an honest router', async () => {
    const cases = contractCases('smoke');
    const result = await runSabotaged(() => undefined, cases);
    assert.deepEqual(result.failures, []);
    assert.equal(result.cases, cases.length);
    assert.ok(result.rows > 4000);
    assert.ok(result.worstWeightError > 0 && result.worstWeightError < 0.01, 'f32 rounding is seen and is small');
  });

  it('a tie rule that takes the higher id', async () => {
    const result = await runSabotaged(({ output, config }) => {
      const { ids, weights } = output;
      for (let slot = 0; slot + 1 < ids.length; slot++) {
        const isSameRow = Math.floor(slot / config.topK) === Math.floor((slot + 1) / config.topK);
        if (isSameRow && weights[slot] === weights[slot + 1] && ids[slot] !== ids[slot + 1]) swap(ids, slot, slot + 1);
      }
      return output;
    });
    assert.ok(result.mismatchedIds > 0);
    const sections = new Set(result.failures.map((failure) => failure.section));
    assert.ok(sections.has('shapes') && sections.has('expert groups'), 'ranking by choice score has ties too');
  });

  it('a dropped row', async () => {
    const result = await runSabotaged(({ output, config }) => {
      if (output.tokens < 2) return output;
      for (let k = 0; k < config.topK; k++) set(output.ids, (output.tokens - 1) * config.topK + k, 0);
      output.weights.fill(0, (output.tokens - 1) * config.topK);
      return output;
    });
    assert.ok(result.mismatchedIds > 0);
    assert.ok(result.mismatchedWeights > 0);
  });

  it('a weight that is off by 1e-4', async () => {
    const result = await runSabotaged(({ output }) => {
      output.weights[0] = (output.weights[0] ?? 0) + 1e-4;
      return output;
    });
    assert.equal(result.mismatchedIds, 0);
    assert.ok(result.mismatchedWeights > 0);
    assert.ok(result.worstWeightError > 1);
  });

  it('a weight that is not a number', async () => {
    const result = await runSabotaged(({ output }) => {
      output.weights.fill(NaN, 0, 1);
      return output;
    });
    assert.equal(result.worstWeightError, Infinity);
  });

  it('an expert that is repeated in rows with NaN', async () => {
    const result = await runSabotaged(({ output, logits, options, config }) => {
      const stride = options.rowStride ?? config.experts;
      if (!(logits instanceof Float32Array)) return output;
      for (let token = 0; token < output.tokens; token++) {
        const row = logits.subarray(token * stride, token * stride + config.experts);
        const start = token * config.topK;
        if (!row.some(Number.isNaN)) continue;
        for (let k = 1; k < config.topK; k++) set(output.ids, start + k, Number(output.ids[start]));
      }
      return output;
    });
    assert.ok(result.mismatchedIds > 0);
  });

  it('padding rows that are routed', async () => {
    const result = await runSabotaged(({ options, config, logits }) => {
      const { paddingMask: _, ...rest } = options;
      return createCpuRouter(asConfig(config)).routeSync(logits, rest);
    });
    assert.deepEqual(sectionsOf(result), new Set(['layout', 'dispatch plans']));
  });

  it('an expert range that is ignored', async () => {
    const result = await runSabotaged(({ config, logits, options }) =>
      createCpuRouter({ ...asConfig(config), expertRange: [0, config.experts] }).routeSync(logits, options),
    );
    assert.deepEqual(sectionsOf(result), new Set(['expert ranges', 'dispatch plans']));
  });

  it('slots of the plan in the wrong order', async () => {
    const result = await runSabotaged(({ output }) => {
      if (output.dispatchPlan !== undefined) swap(output.dispatchPlan.sortedSlots, 0, 1);
      return output;
    });
    assert.equal(result.mismatchedIds, 0);
    assert.ok(result.failures.some((failure) => failure.problems.some((problem) => problem.includes('sortedSlots'))));
  });

  it('an expert without rows that is listed, a tile that is missing, and one that begins elsewhere', async () => {
    const spoilers = {
      'expertTiles.activeExperts': ({ activeExperts }) => (activeExperts[activeExperts.length - 1] = 0),
      'expertTiles.tileExperts': ({ tileExperts }) => tileExperts.fill(-1, 0, 1),
      'expertTiles.tileStarts': ({ tileStarts }) => (tileStarts[0] = 1),
      'expertTiles.counts': ({ counts }) => (counts[1] = (counts[1] ?? 0) + 1),
    } satisfies Record<string, (tiles: ExpertTiles) => unknown>;
    for (const [name, spoil] of Object.entries(spoilers)) {
      const result = await runSabotaged(({ output }) => {
        const tiles = output.dispatchPlan?.expertTiles;
        if (tiles !== undefined && tiles.tileExperts.length > 0) spoil(tiles);
        return output;
      });
      assert.deepEqual(sectionsOf(result), new Set(['dispatch plans']));
      assert.ok(result.failures.every(({ problems }) => problems.every((problem) => problem.includes(name))));
    }
  });

  it('token_expert_indices off by one', async () => {
    const result = await runSabotaged(({ output }) => {
      output.tokenExpertIndices?.forEach((value, i, all) => (all[i] = value + 1));
      return output;
    });
    assert.ok(
      result.failures.some((failure) => failure.problems.some((problem) => problem.includes('tokenExpertIndices'))),
    );
  });

  it('ids of another type, and outputs that are missing', async () => {
    const narrowed = await runSabotaged(({ output }) => ({ ...output, ids: Int32Array.from(output.ids, Number) }));
    assert.ok(narrowed.failures.length > 0);
    const bare = await runSabotaged(({ output: { tokens, ids, weights } }) => ({ tokens, ids, weights }));
    assert.ok(bare.failures.length > 0);
  });

  it('an input that was written to', async () => {
    const result = await runSabotaged(({ logits, output }) => {
      logits[0] = 1;
      return output;
    });
    const problems = result.failures.flatMap((failure) => failure.problems);
    assert.ok(problems.some((problem) => problem.includes('the input was modified')));
  });

  it('calls in flight that share their outputs', async () => {
    let shared: RouterOutput | undefined;
    const result = await runSabotaged(({ output }) => {
      shared ??= output;
      return shared;
    });
    assert.ok(result.failures.length > 0);
  });

  it('a router that throws, without ending the run', async () => {
    const result = await runContractSuite(
      async (config) => {
        if (config.topK === 4) throw new RangeError('no kernel for K = 4');
        return createCpuRouter(config);
      },
      { level: 'smoke' },
    );
    assert.ok(result.failures.length > 0 && result.failures.length < result.cases);
    assert.match(result.failures[0]?.problems[0] ?? '', /no kernel for K = 4/);
  });

  it('a router that answers after dispose()', async () => {
    const result = await runContractSuite(
      async (config) => Object.assign(createCpuRouter(config), { dispose: async () => undefined }),
      { cases: contractCases('smoke').slice(0, 1) },
    );
    assert.match(result.failures[0]?.problems.join() ?? '', /after dispose\(\) route answered/);
  });
});

describe('runContractSuite', () => {
  it('gives up where the backend is unavailable', async () => {
    const options = { level: 'smoke' } as const;
    const unavailable = Promise.reject<Router>(new BackendUnavailableError('hip', 'No GPU here.'));
    await assert.rejects(
      runContractSuite(() => unavailable, options),
      BackendUnavailableError,
    );
  });

  it('stops when its signal is aborted, and disposes of what it made', async () => {
    const stop = new AbortController();
    let made = 0;
    let disposed = 0;
    const factory = async (config: RouterConfig): Promise<Router> => {
      made++;
      const router = createCpuRouter(config);
      return Object.assign(router, { dispose: async () => void disposed++ });
    };
    const onCase = ({ index }: { readonly index: number }): void => {
      if (index === 3) stop.abort(new Error('enough'));
    };
    await assert.rejects(runContractSuite(factory, { level: 'smoke', signal: stop.signal, onCase }), /enough/);
    assert.equal(made, 4);
    assert.ok(disposed >= made);
  });
});

describe('contractCases', () => {
  it('gives the same data each time, and different data to different cases', () => {
    const [first, second] = [contractCases('smoke'), contractCases('smoke')];
    assert.deepEqual(
      first.map((one) => one.name),
      second.map((one) => one.name),
    );
    for (const [i, one] of first.entries()) {
      for (const [j, call] of one.calls.entries()) {
        assert.deepEqual(second[i]?.calls[j]?.makeInput(), call.makeInput());
      }
    }
  });

  it('covers the union of shapes at the full level', () => {
    const shapes = new Set(contractCases('full').map(({ config }) => `${config.experts} ${config.topK}`));
    for (const experts of [1, 6, 13, 31, 65, 71, 100, 129, 160, 257, 385, 513, 577, 769, 897, 1024]) {
      for (const topK of [1, 2, 3, 4, 5, 6, 8, 9, 10, 16, 17, 22, 23, 32]) {
        if (topK <= experts) assert.ok(shapes.has(`${experts} ${topK}`), `E ${experts}, K ${topK}`);
      }
    }
    assert.ok(shapes.has('31 31') && shapes.has('32 32') && shapes.has('13 13'), 'K = E');
  });
});
