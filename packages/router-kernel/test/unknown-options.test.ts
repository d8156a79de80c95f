import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { createCpuGatedRouter, createCpuRouter } from '../src/cpu/index.ts';
import { createGatedRouter } from '../src/create-gated-router.ts';
import { createRouter } from '../src/create-router.ts';
import { InvalidArgumentError, InvalidConfigError, RouterError } from '../src/errors.ts';
import { resolveGatedRouterConfig } from '../src/gate/resolve-gate.ts';
import { createHipGatedRouter, createHipRouter, type HipRouter } from '../src/hip/index.ts';
import { referenceRoute } from '../src/reference.ts';
import { resolveRouterConfig } from '../src/resolve-config.ts';
import { runContractSuite, runGateSuite } from '../src/suite/index.ts';
import { createWebGpuRouter as createInBrowser } from '../src/webgpu/browser.ts';
import { checkGpuBuffers } from '../src/webgpu/gpu-ranges.ts';
import { createWebGpuRouter } from '../src/webgpu/index.ts';
import { STAND_IN_COMPILER, standInGpu } from './hip/stand-in-gpu.ts';

const CONFIG = { experts: 4, topK: 2 };
const PLANNING = resolveRouterConfig({ ...CONFIG, dispatchPlan: true });
const LOGITS = new Float32Array(8);
const GATE = { ...CONFIG, hiddenSize: 8, gateWeight: new Uint16Array(32) };

/** Takes any object where options are due. */
interface Entrance {
  readonly name: string;
  readonly isConfig: boolean;
  /** What is given beside the unknown name, so that nothing else is missing. */
  readonly known: object;
  readonly call: (router: HipRouter, options: never) => unknown;
}

const DEVICE_BUFFERS = { tokens: 0, logits: 0n, weights: 0n, ids: 0n };

const ENTRANCES: readonly Entrance[] = [
  {
    name: 'createRouter',
    isConfig: true,
    known: { ...CONFIG, backend: 'cpu' },
    call: (_, options) => createRouter(options),
  },
  { name: 'createCpuRouter', isConfig: true, known: CONFIG, call: (_, options) => createCpuRouter(options) },
  { name: 'createHipRouter', isConfig: true, known: {}, call: (_, options) => createHipRouter(CONFIG, options) },
  { name: 'createWebGpuRouter', isConfig: true, known: {}, call: (_, options) => createWebGpuRouter(CONFIG, options) },
  {
    name: 'createWebGpuRouter in a browser',
    isConfig: true,
    known: {},
    call: (_, options) => createInBrowser(CONFIG, options),
  },
  { name: 'resolveRouterConfig', isConfig: true, known: CONFIG, call: (_, options) => resolveRouterConfig(options) },
  { name: 'referenceRoute', isConfig: false, known: {}, call: (_, options) => referenceRoute(CONFIG, LOGITS, options) },
  {
    name: 'route of the CPU',
    isConfig: false,
    known: {},
    call: (_, options) => createCpuRouter(CONFIG).route(LOGITS, options),
  },
  {
    name: 'routeSync',
    isConfig: false,
    known: {},
    call: (_, options) => createCpuRouter(CONFIG).routeSync(LOGITS, options),
  },
  {
    name: 'routeInto',
    isConfig: false,
    known: {},
    call: (_, options) => {
      const router = createCpuRouter(CONFIG);
      router.routeInto(LOGITS, router.createOutputs(2), options);
    },
  },
  { name: 'route of HIP', isConfig: false, known: {}, call: (router, options) => router.route(LOGITS, options) },
  { name: 'prepare', isConfig: false, known: { tokens: 1 }, call: (router, options) => router.prepare(options) },
  { name: 'enqueue', isConfig: false, known: DEVICE_BUFFERS, call: (router, options) => router.enqueue(0n, options) },
  {
    name: "enqueue's dispatchPlan",
    isConfig: false,
    known: { expertOffsets: 0n, sortedSlots: 0n },
    call: (router, options) => router.enqueue(0n, { ...DEVICE_BUFFERS, dispatchPlan: options }),
  },
  {
    name: 'buffers of encode',
    isConfig: false,
    known: {},
    call: (_, options) => checkGpuBuffers(resolveRouterConfig(CONFIG), options, 0, 4, 256),
  },
  {
    name: "dispatchPlan of encode's buffers",
    isConfig: false,
    known: {},
    call: (_, options) => checkGpuBuffers(PLANNING, { dispatchPlan: options } as never, 0, 4, 256),
  },
  {
    name: 'resolveGatedRouterConfig',
    isConfig: true,
    known: GATE,
    call: (_, options) => resolveGatedRouterConfig(options),
  },
  {
    name: 'createGatedRouter',
    isConfig: true,
    known: { ...GATE, backend: 'cpu' },
    call: (_, options) => createGatedRouter(options),
  },
  {
    name: 'createHipGatedRouter',
    isConfig: true,
    known: {},
    call: (_, options) => createHipGatedRouter(GATE, options),
  },
  {
    name: 'route of a gated router',
    isConfig: false,
    known: {},
    call: (_, options) => createCpuGatedRouter(GATE).route(new Uint16Array(8), options),
  },
  {
    name: 'runGateSuite',
    isConfig: false,
    known: { cases: [] },
    call: (_, options) => runGateSuite(async () => createCpuGatedRouter(GATE), options),
  },
  {
    name: 'runContractSuite',
    isConfig: false,
    known: { cases: [] },
    call: (_, options) => runContractSuite(async () => createCpuRouter(CONFIG), options),
  },
];

/** What is thrown, at once or through a promise; null where nothing is. */
async function failure(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return null;
  } catch (error) {
    return error;
  }
}

describe('a name that is no option', () => {
  let router: HipRouter;
  before(async () => {
    const options = { driver: standInGpu(CONFIG), compiler: STAND_IN_COMPILER, prepare: 'none' } as const;
    router = await createHipRouter(CONFIG, options);
  });
  after(() => router.dispose());

  /** Nobody's option, and no key of every object. */
  const names = fc.string({ minLength: 1 }).map((text) => `x${text}`);

  for (const { name, isConfig, known, call } of ENTRANCES) {
    it(`is refused by ${name}, with the names that there are`, async () => {
      const refusal = isConfig ? InvalidConfigError : InvalidArgumentError;
      await fc.assert(
        fc.asyncProperty(names, fc.constantFrom(1, null, undefined, 'x'), async (unknown, value) => {
          const error = await failure(() => call(router, { ...known, [unknown]: value } as never));
          assert.ok(error instanceof refusal, String(error));
          assert.equal(error instanceof InvalidConfigError ? error.option : error.argument, unknown);
          assert.ok(error.message.includes(`· found "${unknown}" · use one of `), error.message);
        }),
        { numRuns: 20 },
      );
    });
  }

  for (const { name, call } of ENTRANCES) {
    it(`stands for options that are no object as well: ${name}`, async () => {
      for (const options of [1, 'tokens', true]) {
        const error = await failure(() => call(router, options as never));
        assert.ok(error instanceof RouterError, `${name}: ${String(error)}`);
      }
    });
  }
});
