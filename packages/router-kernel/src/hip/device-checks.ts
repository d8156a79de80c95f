/**
 * Checks that only a device can answer, run beside the contract suite: eager and captured launches give the same
 * bytes, nothing is written around an output, nothing is left unwritten, and offsets hold past 2^31 elements.
 */

import { downloadBytes, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver } from '@switchyard/gpu';
import type {
  ExpertTiles,
  Logits,
  ResolvedRouteArguments,
  ResolvedRouterConfig,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../contract.ts';
import type { GatedRouter, GatedRouterConfig, GatedRouterOutput, HiddenStates } from '../gate/gate-contract.ts';
import { checkGatedRouteArguments, hiddenBytes } from '../gate/resolve-gate.ts';
import { checkRouteArguments } from '../resolve-config.ts';
import { encodeLogits } from '../number-formats.ts';
import { normal, seededRandom } from '../suite/seeded-random.ts';
import type { DeviceGatedRouteBuffers } from './device-gated-route.ts';
import type { DevicePlanBuffers, DeviceRouteBuffers } from './device-route.ts';
import { createHipGatedRouter, type HipGatedRouter } from './gated-router.ts';
import { bytesOf, firstDifference, GuardedMemory, POISON } from './guarded-memory.ts';
import { logitsAlignment } from './kernel/specialization.ts';
import type { HipRouterOptions } from './router-device.ts';
import { createHipRouter, type HipRouter } from './router.ts';

/**
 * A HIP router whose every `route` also runs through `enqueue`, eagerly and replayed from a captured graph, into
 * guarded and poisoned outputs. Resolves to `route`'s own output.
 *
 * @throws VerificationError from `route` where a launch disagrees or a guard byte changed
 */
export async function createCheckedHipRouter(config: RouterConfig, driver: GpuDriver): Promise<Router> {
  const router = await createHipRouter(config, { driver, prepare: 'none' });
  return {
    backend: router.backend,
    device: router.device,
    config: router.config,
    route: async (logits, options = {}) => {
      const output = await router.route(logits, options);
      await checkLaunches(router, logits, options, output);
      return output;
    },
    dispose: () => router.dispose(),
    [Symbol.asyncDispose]: () => router.dispose(),
  };
}

async function checkLaunches(
  router: HipRouter,
  logits: Logits,
  options: RouteOptions,
  output: RouterOutput,
): Promise<void> {
  const { config, driver } = router;
  const args = checkRouteArguments(config, logits, options);
  const { tokens, rowStride } = args;
  if (tokens === 0 && !config.dispatchPlan) return;
  const padding = args.paddingMask !== null || args.rowCount < tokens;
  await router.prepare({ tokens, padding, alignment: logitsAlignment(0n, rowStride, config.logitsDtype) });
  await using memory = new GuardedMemory(driver);
  const { plan, ...routing } = await guardRouting(memory, output, args);
  const workspaceBytes = router.planWorkspaceBytes(tokens);
  const workspace = workspaceBytes > 0 ? { workspace: memory.workspace(workspaceBytes) } : {};
  const buffers: DeviceRouteBuffers = {
    ...routing,
    rowStride,
    logits: await memory.upload(bytesOf(logits)),
    ...(plan === undefined ? {} : { dispatchPlan: { ...plan, ...workspace } }),
  };
  await memory.check((stream) => router.enqueue(stream, buffers));
}

/**
 * A gated HIP router whose every `route` also runs through `enqueue`, as `createCheckedHipRouter`'s do.
 *
 * @throws VerificationError from `route` where a launch disagrees or a guard byte changed
 */
export async function createCheckedHipGatedRouter(
  config: GatedRouterConfig,
  driver: GpuDriver,
  options: Pick<HipRouterOptions, 'compiler' | 'cacheFolder'> = {},
): Promise<GatedRouter> {
  const router = await createHipGatedRouter(config, { ...options, driver, prepare: 'none' });
  return {
    backend: router.backend,
    device: router.device,
    config: router.config,
    route: async (hidden, options = {}) => {
      const output = await router.route(hidden, options);
      await checkGatedLaunches(router, hidden, options, output);
      return output;
    },
    dispose: () => router.dispose(),
    [Symbol.asyncDispose]: () => router.dispose(),
  };
}

async function checkGatedLaunches(
  router: HipGatedRouter,
  hidden: HiddenStates,
  options: RouteOptions,
  output: GatedRouterOutput,
): Promise<void> {
  const { config, driver } = router;
  const args = checkGatedRouteArguments(config, hidden, options);
  const { tokens, rowStride } = args;
  // Such rows are copied to the device one after the other.
  const isStridedOnDevice = (rowStride * hiddenBytes(config.hiddenDtype)) % 16 === 0;
  if (!isStridedOnDevice || (tokens === 0 && !config.router.dispatchPlan)) return;
  await router.prepare({ tokens, padding: args.paddingMask !== null || args.rowCount < tokens });
  await using memory = new GuardedMemory(driver);
  const { plan, ...routing } = await guardRouting(memory, output, args);
  const buffers: DeviceGatedRouteBuffers = {
    ...routing,
    rowStride,
    hidden: await memory.upload(bytesOf(hidden)),
    logits: memory.guarded('router logits', output.routerLogits),
    workspace: memory.workspace(router.workspaceBytes(tokens), router.clearedBytes),
    ...(plan === undefined ? {} : { dispatchPlan: plan }),
  };
  await memory.check((stream) => router.enqueue(stream, buffers));
}

/** Guarded buffers for what a router gave, and those of its inputs that say which rows are padding. */
async function guardRouting(
  memory: GuardedMemory,
  output: RouterOutput,
  { tokens, paddingMask, rowCount }: ResolvedRouteArguments,
): Promise<
  Pick<DeviceRouteBuffers, 'tokens' | 'weights' | 'ids' | 'tokenExpertIndices' | 'paddingMask' | 'rowCount'> & {
    readonly plan?: Omit<DevicePlanBuffers, 'workspace'>;
  }
> {
  const plan = output.dispatchPlan;
  return {
    tokens,
    weights: memory.guarded('weights', output.weights),
    ids: memory.guarded('ids', output.ids),
    ...(output.tokenExpertIndices === undefined
      ? {}
      : { tokenExpertIndices: memory.guarded('token expert indices', output.tokenExpertIndices) }),
    ...(paddingMask === null ? {} : { paddingMask: await memory.upload(paddingMask) }),
    ...(rowCount < tokens ? { rowCount: await memory.upload(bytesOf(new Uint32Array([rowCount]))) } : {}),
    ...(plan === undefined
      ? {}
      : {
          plan: {
            expertOffsets: memory.guarded('expert offsets', plan.expertOffsets),
            sortedSlots: memory.guarded('sorted slots', plan.sortedSlots),
            ...(plan.expertTiles === undefined
              ? {}
              : { expertTiles: memory.guarded('expert tiles', inOneRun(plan.expertTiles)) }),
          },
        }),
  };
}

/** What the check of large offsets found. */
export interface LargeOffsetCheck {
  /** Rows compared; 0 where the device has too little free memory. */
  readonly rows: number;
  /** T * E. */
  readonly elements: number;
  readonly problems: readonly string[];
}

const LARGE_CONFIG: RouterConfig = { experts: 128, topK: 4, logitsDtype: 'bf16' };
const BLOCK_ROWS = 65536;
/** T * E passes 2^31 by a block and a half. */
const LARGE_ROWS = 2 ** 31 / 128 + BLOCK_ROWS * 1.5;

/** Routes a block of rows laid down again and again past 2^31 elements; every copy must be answered alike. */
export async function checkLargeOffsets(driver: GpuDriver): Promise<LargeOffsetCheck> {
  const router = await createHipRouter(LARGE_CONFIG, { driver, prepare: 'none' });
  const stream = driver.createStream();
  const held: DeviceBuffer[] = [];
  const hold = (bytes: number): DeviceBuffer => {
    const buffer = driver.allocate(bytes);
    held.push(buffer);
    return buffer;
  };
  const { experts, topK } = router.config;
  const elements = LARGE_ROWS * experts;
  const outputBytes = LARGE_ROWS * topK * 4;
  try {
    if (driver.memory().free < elements * 2 + 2 * outputBytes + 2 ** 29) return { rows: 0, elements, problems: [] };
    const block = randomBlock(router.config);
    const expected = await router.route(block);
    const logits = hold(elements * 2);
    const blockBytes = block.byteLength;
    await uploadBytes(driver, stream, logits.pointer, bytesOf(block));
    for (let at = blockBytes; at < logits.bytes; at += blockBytes) {
      const bytes = Math.min(blockBytes, logits.bytes - at);
      driver.copyOnDevice(logits.pointer + BigInt(at), logits.pointer, bytes, stream);
    }
    const [weights, ids] = [hold(outputBytes), hold(outputBytes)];
    for (const buffer of [weights, ids]) driver.fill(buffer.pointer, POISON, buffer.bytes, stream);
    await router.prepare({ tokens: LARGE_ROWS });
    router.enqueue(stream, {
      tokens: LARGE_ROWS,
      logits: logits.pointer,
      weights: weights.pointer,
      ids: ids.pointer,
    });
    const problems: string[] = [];
    const chunk = BLOCK_ROWS * topK * 4;
    for (const [name, buffer, wanted] of [
      ['weights', weights, bytesOf(expected.weights)],
      ['ids', ids, bytesOf(expected.ids)],
    ] as const) {
      for (let at = 0; at < buffer.bytes && problems.length < 4; at += chunk) {
        const bytes = Math.min(chunk, buffer.bytes - at);
        const found = new Uint8Array(await downloadBytes(driver, stream, buffer.pointer + BigInt(at), bytes));
        if (firstDifference(found, wanted.subarray(0, bytes)) !== -1) {
          problems.push(
            `the ${name} of rows ${at / (topK * 4)} and on differ from those of the same rows at the start`,
          );
        }
      }
    }
    return { rows: LARGE_ROWS, elements, problems };
  } finally {
    for (const buffer of held) buffer.free();
    stream.destroy();
    await router.dispose();
  }
}

function randomBlock(config: ResolvedRouterConfig): Logits {
  const random = seededRandom('large offsets');
  const values = new Float32Array(BLOCK_ROWS * config.experts);
  for (let i = 0; i < values.length; i += 1) values[i] = 2 * normal(random);
  return encodeLogits(values, config.logitsDtype);
}

/** The lists one after the other, as they lie on the device. */
function inOneRun({ counts, activeExperts, tileExperts, tileStarts }: ExpertTiles): Int32Array {
  return Int32Array.of(...counts, ...activeExperts, ...tileExperts, ...tileStarts);
}
