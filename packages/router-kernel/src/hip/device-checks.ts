/**
 * Checks that only a device can answer, run beside the contract suite: eager and captured launches give the same
 * bytes, nothing is written around an output, nothing is left unwritten, and offsets hold past 2^31 elements.
 */

import { downloadBytes, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type {
  ExpertTiles,
  Logits,
  ResolvedRouterConfig,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../contract.ts';
import { checkRouteArguments } from '../resolve-config.ts';
import { RouterError } from '../errors.ts';
import { encodeLogits } from '../number-formats.ts';
import { normal, seededRandom } from '../suite/seeded-random.ts';
import type { DeviceRouteBuffers } from './device-route.ts';
import { ARRIVALS_BYTES } from './kernel/dispatch-plan-launches.ts';
import { logitsAlignment } from './kernel/specialization.ts';
import { createHipRouter, type HipRouter } from './router.ts';

/** Outputs of two ways to launch differ, or bytes around an output changed. Code `VERIFICATION_FAILED`. */
export class VerificationError extends RouterError {
  constructor(message: string) {
    super('VERIFICATION_FAILED', message);
  }
}

const POISON = 0xa5;
/** Poisoned bytes before and behind each output. */
const GUARD_BYTES = 256;

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

interface GuardedOutput {
  readonly name: string;
  readonly buffer: DeviceBuffer;
  readonly bytes: number;
  readonly expected: Uint8Array;
}

async function checkLaunches(
  router: HipRouter,
  logits: Logits,
  options: RouteOptions,
  output: RouterOutput,
): Promise<void> {
  const { config, driver } = router;
  const { tokens, rowStride, paddingMask, rowCount } = checkRouteArguments(config, logits, options);
  if (tokens === 0 && !config.dispatchPlan) return;
  const padding = paddingMask !== null || rowCount < tokens;
  await router.prepare({ tokens, padding, alignment: logitsAlignment(0n, rowStride, config.logitsDtype) });
  const stream = driver.createStream();
  const held: DeviceBuffer[] = [];
  const hold = (bytes: number): DeviceBuffer => {
    const buffer = driver.allocate(bytes);
    held.push(buffer);
    return buffer;
  };
  const upload = async (bytes: Uint8Array): Promise<bigint> => {
    const buffer = hold(Math.max(bytes.byteLength, 1));
    if (bytes.byteLength > 0) await uploadBytes(driver, stream, buffer.pointer, bytes);
    return buffer.pointer;
  };
  try {
    const outputs: GuardedOutput[] = [];
    const guarded = (name: string, expected: ArrayBufferView): bigint => {
      const bytes = expected.byteLength;
      const buffer = hold(bytes + 2 * GUARD_BYTES);
      outputs.push({ name, buffer, bytes, expected: bytesOf(expected) });
      return buffer.pointer + BigInt(GUARD_BYTES);
    };
    const plan = output.dispatchPlan;
    // Filled once, for the launches after the first find out whether every launch leaves it as it has to be.
    const workspaceOf = (bytes: number): bigint => {
      const { pointer } = hold(bytes);
      driver.fill(pointer, POISON, bytes, stream);
      driver.fill(pointer, 0, ARRIVALS_BYTES, stream);
      return pointer;
    };
    const workspaceBytes = router.planWorkspaceBytes(tokens);
    const buffers: DeviceRouteBuffers = {
      tokens,
      rowStride,
      logits: await upload(bytesOf(logits)),
      weights: guarded('weights', output.weights),
      ids: guarded('ids', output.ids),
      ...(output.tokenExpertIndices === undefined
        ? {}
        : { tokenExpertIndices: guarded('token expert indices', output.tokenExpertIndices) }),
      ...(paddingMask === null ? {} : { paddingMask: await upload(paddingMask) }),
      ...(rowCount < tokens ? { rowCount: await upload(bytesOf(new Uint32Array([rowCount]))) } : {}),
      ...(plan === undefined
        ? {}
        : {
            dispatchPlan: {
              expertOffsets: guarded('expert offsets', plan.expertOffsets),
              sortedSlots: guarded('sorted slots', plan.sortedSlots),
              ...(plan.expertTiles === undefined
                ? {}
                : { expertTiles: guarded('expert tiles', inOneRun(plan.expertTiles)) }),
              ...(workspaceBytes > 0 ? { workspace: workspaceOf(workspaceBytes) } : {}),
            },
          }),
    };
    const poison = (): void => {
      for (const { buffer } of outputs) driver.fill(buffer.pointer, POISON, buffer.bytes, stream);
    };
    poison();
    router.enqueue(stream, buffers);
    await compareGuarded(driver, stream, outputs, 'an eager launch');

    const graph = driver.capture(stream, () => router.enqueue(stream, buffers));
    try {
      for (const name of ['the first graph replay', 'the second graph replay']) {
        poison();
        graph.launch(stream);
        await compareGuarded(driver, stream, outputs, name);
      }
    } finally {
      graph.destroy();
    }
  } finally {
    for (const buffer of held) buffer.free();
    stream.destroy();
  }
}

async function compareGuarded(
  driver: GpuDriver,
  stream: GpuStream,
  outputs: readonly GuardedOutput[],
  launch: string,
): Promise<void> {
  for (const { name, buffer, bytes, expected } of outputs) {
    const found = new Uint8Array(await downloadBytes(driver, stream, buffer.pointer, buffer.bytes));
    const guards = [found.subarray(0, GUARD_BYTES), found.subarray(GUARD_BYTES + bytes)];
    if (guards.some((guard) => guard.some((byte) => byte !== POISON))) {
      throw new VerificationError(`${launch} wrote outside its ${name}.`);
    }
    const at = firstDifference(found.subarray(GUARD_BYTES, GUARD_BYTES + bytes), expected);
    if (at !== -1) {
      throw new VerificationError(`${launch} gave other ${name} than route(), from byte ${at} of ${bytes} on.`);
    }
  }
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

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The index of the first byte that differs; -1 where none does. */
function firstDifference(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right) === 0 ? -1 : left.findIndex((byte, index) => byte !== right[index]);
}
