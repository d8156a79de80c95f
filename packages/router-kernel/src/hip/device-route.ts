/** Routing rows that already lie in device memory: choosing the kernel form, packing its arguments, launching it. */

import { loadLaunch } from '@switchyard/gpu';
import type { DevicePointer, KernelLaunch, KernelLoader, LaunchPreparer, StreamLike } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { logitBytes } from '../derived-config.ts';
import { InvalidArgumentError } from '../errors.ts';
import { expertTileCapacity, tileShapeOf, tileShiftOf } from '../expert-tiles.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { checkOutputs, checkRowStride, refuseUnprepared } from './device-buffers.ts';
import {
  mostPlanWorkspaceBytes,
  placementLaunch,
  placePlan,
  planWorkspaceBytes,
} from './kernel/dispatch-plan-launches.ts';
import type { PlanPlacementLaunch } from './kernel/dispatch-plan-launches.ts';
import {
  DISPATCH_PLAN_KERNEL_ARGUMENTS,
  PLAN_ROUTER_KERNEL_ARGUMENTS,
  ROUTER_KERNEL_ARGUMENTS,
  TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS,
  TILES_ROUTER_KERNEL_ARGUMENTS,
} from './kernel/argument-lists.ts';
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
  /**
   * i32 [`expertTilesLength`], written: counts, activeExperts, tileExperts and tileStarts of ExpertTiles, one after the
   * other. Required where the configuration asks for tiles.
   */
  readonly expertTiles?: DevicePointer;
  /**
   * `planWorkspaceBytes(T)` bytes of scratch memory, 16-byte aligned; not needed where that is 0. Its first 16 bytes must
   * be 0 before the first call, and are left 0 by every call. Calls that may run at the same time need one each.
   */
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
  expertTiles: true,
  workspace: true,
});
const ROUTE_SHAPE = knownOptions<RouteShape>('route shape option', InvalidArgumentError, {
  tokens: true,
  padding: true,
  alignment: true,
});

interface LoadedForm {
  readonly specialization: KernelSpecialization;
  /** Takes the plan's arguments, and leaves them out where the form makes no plan. */
  readonly launch: RouterLaunch;
  /** The launch that makes the plan after it; null where it needs none. */
  readonly placement: PlacementLaunch | null;
}

/** What T, the padding and the alignment of a call come down to. */
interface RouteCall {
  readonly tokens: number;
  readonly padding: boolean;
  readonly alignment: number;
  readonly form: LoadedForm;
  /** Of the routing launch. */
  readonly blocks: number;
  /** The launch after it; null where the form has none. */
  readonly placement: { readonly launch: PlacementLaunch; readonly sizes: PlanPlacementLaunch } | null;
  /** Scratch memory of the plan. */
  readonly workspaceBytes: number;
  /** 0 where no tiles are listed. */
  readonly tileCapacity: number;
  readonly tileShift: number;
}

type RouterLaunch = KernelLaunch<(typeof TILES_ROUTER_KERNEL_ARGUMENTS)[number]['name']>;
type PlacementLaunch = KernelLaunch<(typeof TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS)[number]['name']>;

/** The launches of one router. Holds no memory of the device's but the correction bias, which its owner frees. */
export class DeviceRoute {
  readonly #driver: LaunchPreparer;
  readonly #library: KernelLoader;
  readonly #config: ResolvedRouterConfig;
  readonly #bias: DevicePointer;
  readonly #mayOverlap: boolean;
  readonly #forms = new Map<string, LoadedForm>();
  /** The last call, which decoding repeats thousands of times. */
  #last: RouteCall | null = null;

  private constructor(
    driver: LaunchPreparer,
    library: KernelLoader,
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
  }

  /**
   * Loads the form of one token, and makes the route.
   *
   * @param mayOverlap Whether a launch may begin while the kernel before it in the stream still runs (NVIDIA, compute
   * capability 9). It waits for that kernel before it reads.
   */
  static async create(
    driver: LaunchPreparer,
    library: KernelLoader,
    config: ResolvedRouterConfig,
    bias: DevicePointer,
    mayOverlap = true,
  ): Promise<DeviceRoute> {
    const first = specialize(config, library.target, { tokens: 1 });
    const form = await loadForm(driver, library, config, first, mayOverlap);
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
      const form = await loadForm(this.#driver, this.#library, this.#config, specialization, this.#mayOverlap);
      this.#forms.set(specialization.symbol, form);
    }
  }

  /** Bytes of scratch memory that dispatch plans of T tokens or fewer take, however the rows are aligned. */
  planWorkspaceBytes(tokens: number): number {
    return mostPlanWorkspaceBytes(this.#config, this.#library.target, tokens);
  }

  /** Bytes that the dispatch plan of a prepared shape takes: no more than `planWorkspaceBytes`. */
  workspaceBytes({ tokens, padding, alignment }: Required<RouteShape>): number {
    return this.#callFor(tokens, padding, alignment).workspaceBytes;
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
    checkOutputs(config, buffers);
    checkRowStride(rowStride, config.experts, logitBytes(config.logitsDtype));
    if (tokens === 0 && !config.dispatchPlan) return;
    const padding = paddingMask !== 0n || rowCount !== 0n;
    const call = this.#callFor(tokens, padding, logitsAlignment(logits, rowStride, config.logitsDtype));
    const { form, blocks, placement } = call;
    const plan = this.#planArguments(call, buffers.dispatchPlan);
    form.launch.launch(stream, blocks, {
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
      ...plan,
      blocks,
    });
    if (placement === null) return;
    const { launch, sizes } = placement;
    launch.launch(stream, sizes.blocks, { ids, ...plan, slots: tokens * config.topK, ...sizes });
  }

  /** The values of a plan's arguments; null pointers where there is no plan. */
  #planArguments(
    { tokens, workspaceBytes, tileCapacity, tileShift }: RouteCall,
    buffers: DevicePlanBuffers | undefined,
  ): PlanArguments {
    if (buffers === undefined || !this.#config.dispatchPlan) return NO_PLAN;
    const { expertOffsets, sortedSlots, expertTiles = 0n, workspace = 0n } = buffers;
    if (workspaceBytes > 0 && workspace === 0n) {
      throw new InvalidArgumentError(
        'dispatchPlan.workspace',
        workspace,
        `A dispatch plan of ${tokens} tokens needs ${workspaceBytes} bytes of scratch memory · found no pointer · allocate planWorkspaceBytes(${tokens})`,
      );
    }
    return { expertOffsets, sortedSlots, expertTiles, workspace, tileCapacity, tileShift };
  }

  #specialize(shape: RouteShape): KernelSpecialization {
    const { tokens, padding = false, alignment } = shape;
    const hint = alignment === undefined ? { tokens, padding } : { tokens, padding, alignment };
    return specialize(this.#config, this.#library.target, hint);
  }

  #callFor(tokens: number, padding: boolean, alignment: number): RouteCall {
    const last = this.#last;
    if (last?.tokens === tokens && last.padding === padding && last.alignment === alignment) return last;
    const { symbol } = this.#specialize({ tokens, padding, alignment });
    const form = this.#forms.get(symbol) ?? refuseUnprepared(symbol, tokens);
    const { specialization, placement } = form;
    const tiles = tileShapeOf(this.#config);
    const call = {
      tokens,
      padding,
      alignment,
      form,
      blocks: gridSize(specialization, tokens),
      placement: placement && { launch: placement, sizes: placementLaunch(specialization, tokens) },
      workspaceBytes: planWorkspaceBytes(this.#config, specialization, tokens),
      tileCapacity: tiles === null ? 0 : expertTileCapacity(tiles, tokens),
      tileShift: tileShiftOf(this.#config),
    };
    this.#last = call;
    return call;
  }
}

/** The values of the kernel arguments of the same names. */
interface PlanArguments {
  readonly expertOffsets: DevicePointer;
  readonly sortedSlots: DevicePointer;
  readonly expertTiles: DevicePointer;
  readonly workspace: DevicePointer;
  readonly tileCapacity: number;
  readonly tileShift: number;
}

const NO_PLAN: PlanArguments = {
  expertOffsets: 0n,
  sortedSlots: 0n,
  expertTiles: 0n,
  workspace: 0n,
  tileCapacity: 0,
  tileShift: 0,
};

async function loadForm(
  driver: LaunchPreparer,
  library: KernelLoader,
  config: ResolvedRouterConfig,
  specialization: KernelSpecialization,
  mayOverlap: boolean,
): Promise<LoadedForm> {
  const description = {
    unit: kernelUnit(specialization),
    symbol: specialization.symbol,
    threadsPerBlock: specialization.threadsPerBlock,
    overlapsKernelBefore: mayOverlap,
  };
  const load = (): Promise<RouterLaunch> => {
    if (specialization.planShare === 'none')
      return loadLaunch(driver, library, { ...description, arguments: ROUTER_KERNEL_ARGUMENTS });
    return specialization.listsTiles
      ? loadLaunch(driver, library, { ...description, arguments: TILES_ROUTER_KERNEL_ARGUMENTS })
      : loadLaunch(driver, library, { ...description, arguments: PLAN_ROUTER_KERNEL_ARGUMENTS });
  };
  const launch = await load();
  if (specialization.planShare !== 'rows') return { specialization, launch, placement: null };
  const placement = placePlan(config, library.target, specialization);
  const placing = {
    unit: kernelUnit(placement),
    symbol: placement.symbol,
    threadsPerBlock: placement.threadsPerBlock,
    overlapsKernelBefore: mayOverlap,
  };
  const placed: PlacementLaunch =
    config.expertTiles === null
      ? await loadLaunch(driver, library, { ...placing, arguments: DISPATCH_PLAN_KERNEL_ARGUMENTS })
      : await loadLaunch(driver, library, { ...placing, arguments: TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS });
  return { specialization, launch, placement: placed };
}
