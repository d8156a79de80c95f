/** Routing rows that already lie in device memory: choosing the kernel form, packing its arguments, launching it. */

import { loadLaunch } from '@switchyard/gpu';
import type { DevicePointer, GpuDriver, KernelLaunch, KernelLibrary, StreamLike } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { logitBytes } from '../derived-config.ts';
import { InvalidArgumentError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { planDispatchLaunches } from './kernel/dispatch-plan-launches.ts';
import { DISPATCH_PLAN_KERNEL_ARGUMENTS, ROUTER_KERNEL_ARGUMENTS } from './kernel/argument-lists.ts';
import { PREPARED_CALLS } from './kernel/forms.ts';
import { kernelUnit } from './kernel/source.ts';
import { gridSize, type KernelSpecialization, logitsAlignment, specialize } from './kernel/specialization.ts';

/** Where a call's rows and results lie in device memory. Output addresses are multiples of 16. */
export interface DeviceRouteBuffers {
  /** T. */
  readonly tokens: number;
  /** [T, rowStride] in the router's logits dtype. Read only. */
  readonly logits: DevicePointer;
  /** Elements from one row to the next: at least E, and less than 4 GiB of them. Defaults to E. */
  readonly rowStride?: number;
  /** f32 [T, K], written. */
  readonly weights: DevicePointer;
  /** i32, u32 or i64 [T, K], written. */
  readonly ids: DevicePointer;
  /** i32 [T, K], written; required where the configuration asks for token expert indices. */
  readonly tokenExpertIndices?: DevicePointer;
  /** u8 [T]; a row whose byte is not 0 is padding. */
  readonly paddingMask?: DevicePointer;
  /** u32 [1]; rows at and past the number there are padding. Read when the kernel runs. */
  readonly rowCount?: DevicePointer;
  /** Required where the configuration asks for a dispatch plan. */
  readonly dispatchPlan?: DevicePlanBuffers;
}

/** Where the dispatch plan goes. */
export interface DevicePlanBuffers {
  /** i32 [E + 1], written. */
  readonly expertOffsets: DevicePointer;
  /** i32 [T * K], written. */
  readonly sortedSlots: DevicePointer;
  /** `planWorkspaceBytes(T)` bytes of scratch memory; not needed where that is 0. */
  readonly workspace?: DevicePointer;
}

/** What decides which form of the kernel serves a call. */
export interface RouteShape {
  /** T. */
  readonly tokens: number;
  /** Whether a padding mask or a row count is passed. Defaults to `false`. */
  readonly padding?: boolean;
  /** Bytes, 1 to 16, that the logits' address and row stride are multiples of. Defaults to contiguous rows'. */
  readonly alignment?: number;
}

const ROUTE_BUFFERS = knownOptions<DeviceRouteBuffers>('device buffer', InvalidArgumentError, {
  tokens: true,
  logits: true,
  rowStride: true,
  weights: true,
  ids: true,
  tokenExpertIndices: true,
  paddingMask: true,
  rowCount: true,
  dispatchPlan: true,
});
const PLAN_BUFFERS = knownOptions<DevicePlanBuffers>('dispatch plan buffer', InvalidArgumentError, {
  expertOffsets: true,
  sortedSlots: true,
  workspace: true,
});
const ROUTE_SHAPE = knownOptions<RouteShape>('route shape option', InvalidArgumentError, {
  tokens: true,
  padding: true,
  alignment: true,
});

interface LoadedForm {
  readonly specialization: KernelSpecialization;
  readonly launch: RouterLaunch;
}

type RouterLaunch = KernelLaunch<(typeof ROUTER_KERNEL_ARGUMENTS)[number]['name']>;
type PlanLaunch = KernelLaunch<(typeof DISPATCH_PLAN_KERNEL_ARGUMENTS)[number]['name']>;

/** The launches of one router. Holds no memory of the device's but the correction bias, which its owner frees. */
export class DeviceRoute {
  readonly #driver: GpuDriver;
  readonly #library: KernelLibrary;
  readonly #config: ResolvedRouterConfig;
  readonly #bias: DevicePointer;
  readonly #mayOverlap: boolean;
  readonly #forms = new Map<string, LoadedForm>();
  readonly #planLaunches = new Map<string, PlanLaunch>();
  /** The form of the last call, which decoding repeats for thousands of calls. */
  #last: { readonly tokens: number; readonly padding: boolean; readonly alignment: number; readonly form: LoadedForm };

  private constructor(
    driver: GpuDriver,
    library: KernelLibrary,
    config: ResolvedRouterConfig,
    bias: DevicePointer,
    first: LoadedForm,
    mayOverlap: boolean,
  ) {
    this.#driver = driver;
    this.#library = library;
    this.#config = config;
    this.#bias = bias;
    this.#mayOverlap = mayOverlap;
    this.#forms.set(first.specialization.symbol, first);
    this.#last = { tokens: -1, padding: false, alignment: 0, form: first };
  }

  /**
   * Loads the form of one token, and makes the route.
   *
   * @param mayOverlap Whether a launch may begin while the kernel before it in the stream still runs (NVIDIA, compute
   * capability 9). It waits for that kernel before it reads.
   */
  static async create(
    driver: GpuDriver,
    library: KernelLibrary,
    config: ResolvedRouterConfig,
    bias: DevicePointer,
    mayOverlap = true,
  ): Promise<DeviceRoute> {
    const form = await loadForm(driver, library, specialize(config, library.target, { tokens: 1 }), mayOverlap);
    return new DeviceRoute(driver, library, config, bias, form, mayOverlap);
  }

  /** Loads the forms for every T at contiguous rows, with and without padding. */
  async prepareAll(): Promise<void> {
    for (const call of PREPARED_CALLS) await this.prepare(call);
  }

  /** Loads what calls of this shape need. */
  async prepare(shape: RouteShape): Promise<void> {
    refuseUnknownOptions(ROUTE_SHAPE, shape);
    const specialization = this.#specialize(shape);
    if (!this.#forms.has(specialization.symbol)) {
      const form = await loadForm(this.#driver, this.#library, specialization, this.#mayOverlap);
      this.#forms.set(specialization.symbol, form);
    }
    if (!this.#config.dispatchPlan) return;
    const plan = planDispatchLaunches(this.#config, this.#library.target, shape.tokens);
    for (const { symbol, threadsPerBlock } of plan.launches) {
      if (this.#planLaunches.has(symbol)) continue;
      const launch = await loadLaunch(this.#driver, this.#library, {
        unit: kernelUnit(plan),
        symbol,
        threadsPerBlock,
        arguments: DISPATCH_PLAN_KERNEL_ARGUMENTS,
      });
      this.#planLaunches.set(symbol, launch);
    }
  }

  /** Bytes of scratch memory that the dispatch plan of T tokens takes. */
  planWorkspaceBytes(tokens: number): number {
    if (!this.#config.dispatchPlan) return 0;
    return planDispatchLaunches(this.#config, this.#library.target, tokens).workspaceBytes;
  }

  /** The kernel form that serves a shape. */
  describe(shape: RouteShape): KernelSpecialization {
    return this.#specialize(shape);
  }

  /**
   * Enqueues one routing. Allocates no device memory and waits for nothing, so that it can be captured.
   *
   * @throws InvalidArgumentError for a missing or misaligned pointer, and where `prepare` has not loaded the shape
   */
  enqueue(stream: StreamLike, buffers: DeviceRouteBuffers): void {
    refuseUnknownOptions(ROUTE_BUFFERS, buffers);
    if (buffers.dispatchPlan !== undefined) refuseUnknownOptions(PLAN_BUFFERS, buffers.dispatchPlan);
    const { tokens, logits, weights, ids, tokenExpertIndices = 0n, paddingMask = 0n, rowCount = 0n } = buffers;
    const config = this.#config;
    const rowStride = buffers.rowStride ?? config.experts;
    checkBuffers(config, buffers, rowStride);
    if (tokens > 0) {
      const padding = paddingMask !== 0n || rowCount !== 0n;
      const form = this.#formFor(tokens, padding, logitsAlignment(logits, rowStride, config.logitsDtype));
      form.launch.launch(stream, gridSize(form.specialization, tokens), {
        logits,
        weights,
        ids,
        rowBytes: rowStride * logitBytes(config.logitsDtype),
        tokens,
        routedScalingFactor: config.routedScalingFactor,
        rangeStart: config.expertRange[0],
        rangeEnd: config.expertRange[1],
        tokenExpertIndices,
        correctionBias: this.#bias,
        paddingMask,
        rowCount,
      });
    }
    if (buffers.dispatchPlan !== undefined) this.#enqueuePlan(stream, tokens, ids, buffers.dispatchPlan);
  }

  #enqueuePlan(stream: StreamLike, tokens: number, ids: DevicePointer, buffers: DevicePlanBuffers): void {
    const plan = planDispatchLaunches(this.#config, this.#library.target, tokens);
    const { expertOffsets, sortedSlots, workspace = 0n } = buffers;
    if (plan.workspaceBytes > 0 && workspace === 0n) {
      throw new InvalidArgumentError(
        'dispatchPlan.workspace',
        workspace,
        `A dispatch plan of ${tokens} tokens needs ${plan.workspaceBytes} bytes of scratch memory; found no pointer. Allocate planWorkspaceBytes(${tokens}).`,
      );
    }
    for (const { symbol, blocks } of plan.launches) {
      const launch = this.#planLaunches.get(symbol) ?? refuseUnprepared(symbol, tokens);
      const { slots, slotsPerBlock, blocks: countBlocks } = plan;
      launch.launch(stream, blocks, {
        ids,
        expertOffsets,
        sortedSlots,
        workspace,
        slots,
        slotsPerBlock,
        blocks: countBlocks,
      });
    }
  }

  #specialize(shape: RouteShape): KernelSpecialization {
    const { tokens, padding = false, alignment } = shape;
    const hint = alignment === undefined ? { tokens, padding } : { tokens, padding, alignment };
    return specialize(this.#config, this.#library.target, hint);
  }

  #formFor(tokens: number, padding: boolean, alignment: number): LoadedForm {
    const last = this.#last;
    if (last.tokens === tokens && last.padding === padding && last.alignment === alignment) return last.form;
    const { symbol } = this.#specialize({ tokens, padding, alignment });
    const form = this.#forms.get(symbol) ?? refuseUnprepared(symbol, tokens);
    this.#last = { tokens, padding, alignment, form };
    return form;
  }
}

async function loadForm(
  driver: GpuDriver,
  library: KernelLibrary,
  specialization: KernelSpecialization,
  mayOverlap: boolean,
): Promise<LoadedForm> {
  const launch = await loadLaunch(driver, library, {
    unit: kernelUnit(specialization),
    symbol: specialization.symbol,
    threadsPerBlock: specialization.threadsPerBlock,
    arguments: ROUTER_KERNEL_ARGUMENTS,
    overlapsKernelBefore: mayOverlap,
  });
  return { specialization, launch };
}

function refuseUnprepared(symbol: string, tokens: number): never {
  throw new InvalidArgumentError(
    'tokens',
    tokens,
    `The kernel ${symbol} is not loaded, and enqueue never compiles. Await prepare() with this shape first.`,
  );
}

function checkBuffers(config: ResolvedRouterConfig, buffers: DeviceRouteBuffers, rowStride: number): void {
  const { tokens, tokenExpertIndices, dispatchPlan } = buffers;
  if (!Number.isSafeInteger(tokens) || tokens < 0 || tokens * config.topK >= 2 ** 31) {
    throw new InvalidArgumentError(
      'tokens',
      tokens,
      `tokens must be 0 or more with T * K below 2^31; found ${tokens}.`,
    );
  }
  const mostStride = Math.floor((2 ** 32 - 1) / logitBytes(config.logitsDtype));
  if (!Number.isSafeInteger(rowStride) || rowStride < config.experts || rowStride > mostStride) {
    throw new InvalidArgumentError(
      'rowStride',
      rowStride,
      `rowStride must be an integer from ${config.experts} to ${mostStride}; found ${rowStride}.`,
    );
  }
  requireAligned('weights', buffers.weights, tokens);
  requireAligned('ids', buffers.ids, tokens);
  if (config.tokenExpertIndices) requireAligned('tokenExpertIndices', tokenExpertIndices ?? 0n, tokens);
  if (config.dispatchPlan && dispatchPlan === undefined) {
    throw new InvalidArgumentError(
      'dispatchPlan',
      dispatchPlan,
      'This router makes a dispatch plan; pass the buffers that it goes to.',
    );
  }
}

function requireAligned(argument: string, pointer: DevicePointer, tokens: number): void {
  if (tokens === 0 || (pointer !== 0n && pointer % 16n === 0n)) return;
  throw new InvalidArgumentError(
    argument,
    pointer,
    `${argument} must be a device address that 16 divides; found 0x${pointer.toString(16)}.`,
  );
}
