/** Gate projection and routing of hidden states that already lie in device memory. */

import { loadLaunch } from '@switchyard/gpu';
import type { DevicePointer, KernelLaunch, KernelLoader, LaunchPreparer, StreamLike } from '@switchyard/gpu';
import { InvalidArgumentError } from '../errors.ts';
import { expertTileCapacity, tileShapeOf, tileShiftOf } from '../expert-tiles.ts';
import type { GateShape } from '../gate/gate-contract.ts';
import { hiddenBytes } from '../gate/resolve-gate.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { checkOutputs, checkRowStride, refuseUnprepared, requireAligned } from './device-buffers.ts';
import { DeviceRoute } from './device-route.ts';
import type { DevicePlanBuffers, DeviceRouteBuffers } from './device-route.ts';
import {
  GATE_KERNEL_ARGUMENTS,
  GATED_ROUTER_KERNEL_ARGUMENTS,
  PLAN_GATED_ROUTER_KERNEL_ARGUMENTS,
  TILES_GATED_ROUTER_KERNEL_ARGUMENTS,
} from './kernel/argument-lists.ts';
import { ARRIVALS_BYTES } from './kernel/dispatch-plan-launches.ts';
import { gatedRouterForm, gateProjectionForm, handOverBytes, MOST_FUSED_TOKENS } from './kernel/gate-forms.ts';
import type { GateForm } from './kernel/gate-forms.ts';
import { kernelUnit } from './kernel/source.ts';

/** Where a call's hidden states and results lie in device memory. Addresses are multiples of 16. */
export interface DeviceGatedRouteBuffers
  extends Pick<DeviceRouteBuffers, 'tokens' | 'weights' | 'ids' | 'tokenExpertIndices' | 'paddingMask' | 'rowCount'> {
  /** [T, rowStride] in the router's dtype of hidden states. Read only. */
  readonly hidden: DevicePointer;
  /** Elements from one hidden state to the next, of which 16 bytes are a divisor: at least H. Defaults to H. */
  readonly rowStride?: number;
  /** f32 [T, E], written: the router logits. */
  readonly logits: DevicePointer;
  /**
   * `workspaceBytes(T)` bytes of scratch memory, of which the first `clearedBytes` must be 0 before the first call, and are
   * left 0 by every call. Calls that may run at the same time need one each.
   */
  readonly workspace: DevicePointer;
  /** Required where the configuration asks for a dispatch plan. */
  readonly dispatchPlan?: Omit<DevicePlanBuffers, 'workspace'>;
}

/** What decides which kernels serve a call. */
export interface GatedRouteShape {
  /** T. */
  readonly tokens: number;
  /** Whether a padding mask or a row count is passed. Defaults to `false`. */
  readonly padding?: boolean;
}

const GATED_BUFFERS = knownOptions<DeviceGatedRouteBuffers>('device buffer', InvalidArgumentError, {
  tokens: true,
  hidden: true,
  rowStride: true,
  logits: true,
  weights: true,
  ids: true,
  tokenExpertIndices: true,
  paddingMask: true,
  rowCount: true,
  workspace: true,
  dispatchPlan: true,
});
const GATED_PLAN_BUFFERS = knownOptions<Omit<DevicePlanBuffers, 'workspace'>>(
  'dispatch plan buffer',
  InvalidArgumentError,
  { expertOffsets: true, sortedSlots: true, expertTiles: true },
);
const GATED_SHAPE = knownOptions<GatedRouteShape>('gated route shape option', InvalidArgumentError, {
  tokens: true,
  padding: true,
});

/** The values of a gate on the device; its owner frees them. */
export interface DeviceGate {
  /** bf16 [E, H]. */
  readonly weight: DevicePointer;
  /** f32 [E]; 0n for none. */
  readonly bias: DevicePointer;
  /** f32 [E], of the router; 0n for none. */
  readonly correctionBias: DevicePointer;
}

/** Takes the plan's arguments, and leaves them out where the form makes no plan. */
type FusedLaunch = KernelLaunch<(typeof TILES_GATED_ROUTER_KERNEL_ARGUMENTS)[number]['name']>;
type GateLaunch = KernelLaunch<(typeof GATE_KERNEL_ARGUMENTS)[number]['name']>;

/** How calls are served: few tokens in one launch, or all in separate launches, for tests and measurements. */
export type GateMode = 'fused' | 'separate';

/** The launches of one gated router. Holds no memory of the device's. */
export class DeviceGatedRoute {
  readonly #driver: LaunchPreparer;
  readonly #library: KernelLoader;
  readonly #shape: GateShape;
  readonly #gate: DeviceGate;
  readonly #mode: GateMode;
  readonly #route: DeviceRoute;
  readonly #projection: GateLaunch;
  readonly #projectionForm: GateForm;
  readonly #fused = new Map<string, FusedLaunch>();

  private constructor(
    { driver, library, shape, gate, mode }: GatedRouteParts,
    route: DeviceRoute,
    projectionForm: GateForm,
    projection: GateLaunch,
  ) {
    this.#driver = driver;
    this.#library = library;
    this.#shape = shape;
    this.#gate = gate;
    this.#mode = mode ?? 'fused';
    this.#route = route;
    this.#projectionForm = projectionForm;
    this.#projection = projection;
  }

  /** Loads the gate projection and the router of one token, and makes the route. */
  static async create(parts: GatedRouteParts): Promise<DeviceGatedRoute> {
    const { driver, library, shape, gate } = parts;
    const route = await DeviceRoute.create(driver, library, shape.router, gate.correctionBias);
    const form = gateProjectionForm(shape, library.target);
    const projection = await loadLaunch(driver, library, { ...description(form), arguments: GATE_KERNEL_ARGUMENTS });
    return new DeviceGatedRoute(parts, route, form, projection);
  }

  /** Loads the forms for every T, with and without padding. */
  async prepareAll(): Promise<void> {
    for (let tokens = 1; tokens <= MOST_FUSED_TOKENS; tokens *= 2) {
      for (const padding of [false, true]) await this.prepare({ tokens, padding });
    }
    await this.#route.prepareAll();
  }

  /** Loads what calls of this shape need. */
  async prepare(shape: GatedRouteShape): Promise<void> {
    refuseUnknownOptions(GATED_SHAPE, shape);
    const form = this.fusedForm(shape);
    if (form === null) return this.#route.prepare(shape);
    if (!this.#fused.has(form.symbol)) this.#fused.set(form.symbol, await this.#loadFused(form));
  }

  /** The fused form that serves a shape; null where the gate projection and the router are launched one after the other. */
  fusedForm(shape: GatedRouteShape): GateForm | null {
    if (this.#mode === 'separate' || shape.tokens === 0) return null;
    return gatedRouterForm(this.#shape, this.#library.target, shape);
  }

  /** The form of the gate projection by itself. */
  get projectionForm(): GateForm {
    return this.#projectionForm;
  }

  /** Bytes of scratch memory that calls of T tokens or fewer take. */
  workspaceBytes(tokens: number): number {
    return this.clearedBytes + this.#route.planWorkspaceBytes(tokens);
  }

  /** Bytes at the start of the scratch memory that have to be 0 before a call: words, then the number of arrived blocks. */
  get clearedBytes(): number {
    return handOverBytes(this.#shape) + ARRIVALS_BYTES;
  }

  /**
   * Enqueues one gate projection and routing. Allocates no device memory and waits for nothing, so that it can be captured.
   *
   * @throws InvalidArgumentError for a missing or misaligned pointer, and where `prepare` has not loaded the shape
   */
  enqueue(stream: StreamLike, buffers: DeviceGatedRouteBuffers): void {
    refuseUnknownOptions(GATED_BUFFERS, buffers);
    if (buffers.dispatchPlan !== undefined) refuseUnknownOptions(GATED_PLAN_BUFFERS, buffers.dispatchPlan);
    const { tokens, hidden, logits, workspace, rowStride = this.#shape.hiddenSize } = buffers;
    const rowBytes = this.#checkRows(buffers, rowStride);
    const padding = buffers.paddingMask !== undefined || buffers.rowCount !== undefined;
    const form = this.fusedForm({ tokens, padding });
    const gate = { hidden, gateWeight: this.#gate.weight, gateBias: this.#gate.bias, logits, rowBytes, tokens };
    if (form !== null) {
      const launch = this.#fused.get(form.symbol) ?? refuseUnprepared(form.symbol, tokens);
      launch.launch(stream, form.expertBlocks, {
        ...gate,
        ...this.#routingArguments(buffers),
        words: workspace,
        blocks: form.expertBlocks,
      });
      return;
    }
    const { expertBlocks, tokensPerBlock } = this.#projectionForm;
    const blocks = expertBlocks * Math.ceil(tokens / tokensPerBlock);
    if (blocks > 0) this.#projection.launch(stream, blocks, { ...gate, expertBlocks });
    const { hidden: _, rowStride: __, workspace: ___, dispatchPlan, ...routing } = buffers;
    const planWorkspace = workspace + BigInt(handOverBytes(this.#shape));
    const plan = dispatchPlan === undefined ? {} : { dispatchPlan: { ...dispatchPlan, workspace: planWorkspace } };
    this.#route.enqueue(stream, { ...routing, ...plan });
  }

  /** The arguments of the fused kernel that are the router's; null pointers where there is nothing. */
  #routingArguments(buffers: DeviceGatedRouteBuffers): Record<RoutingArgument, number | bigint> {
    const { tokens, weights, ids, tokenExpertIndices = 0n, paddingMask = 0n, rowCount = 0n, dispatchPlan } = buffers;
    const { router } = this.#shape;
    const tiles = tileShapeOf(router);
    return {
      weights,
      ids,
      routedScalingFactor: router.routedScalingFactor,
      rangeStart: router.expertRange[0],
      rangeEnd: router.expertRange[1],
      tokenExpertIndices,
      correctionBias: this.#gate.correctionBias,
      paddingMask,
      rowCount,
      expertOffsets: dispatchPlan?.expertOffsets ?? 0n,
      sortedSlots: dispatchPlan?.sortedSlots ?? 0n,
      expertTiles: dispatchPlan?.expertTiles ?? 0n,
      tileCapacity: tiles === null ? 0 : expertTileCapacity(tiles, tokens),
      tileShift: tileShiftOf(router),
    };
  }

  /** Bytes from one hidden state to the next. */
  #checkRows(buffers: DeviceGatedRouteBuffers, rowStride: number): number {
    const { hiddenSize, hiddenDtype, router } = this.#shape;
    checkOutputs(router, buffers);
    checkRowStride(rowStride, hiddenSize, hiddenBytes(hiddenDtype));
    requireAligned('workspace', buffers.workspace);
    const rowBytes = rowStride * hiddenBytes(hiddenDtype);
    if (buffers.tokens === 0) return rowBytes;
    requireAligned('hidden', buffers.hidden);
    requireAligned('logits', buffers.logits);
    if (rowBytes % 16 !== 0) {
      throw new InvalidArgumentError(
        'rowStride',
        rowStride,
        `Hidden states must begin at multiples of 16 bytes · found one every ${rowBytes} · pad the rows`,
      );
    }
    return rowBytes;
  }

  #loadFused(form: GateForm): Promise<FusedLaunch> {
    const { dispatchPlan, expertTiles } = this.#shape.router;
    const [driver, library] = [this.#driver, this.#library];
    if (!dispatchPlan)
      return loadLaunch(driver, library, { ...description(form), arguments: GATED_ROUTER_KERNEL_ARGUMENTS });
    return expertTiles === null
      ? loadLaunch(driver, library, { ...description(form), arguments: PLAN_GATED_ROUTER_KERNEL_ARGUMENTS })
      : loadLaunch(driver, library, { ...description(form), arguments: TILES_GATED_ROUTER_KERNEL_ARGUMENTS });
  }
}

/** What a gated route is made of. */
export interface GatedRouteParts {
  readonly driver: LaunchPreparer;
  readonly library: KernelLoader;
  readonly shape: GateShape;
  readonly gate: DeviceGate;
  /** Defaults to `'fused'`. */
  readonly mode?: GateMode;
}

/** What the router's part of the fused kernel takes. */
type RoutingArgument = Exclude<
  (typeof TILES_GATED_ROUTER_KERNEL_ARGUMENTS)[number]['name'],
  'hidden' | 'gateWeight' | 'gateBias' | 'logits' | 'words' | 'rowBytes' | 'tokens' | 'blocks'
>;

function description(form: GateForm): {
  readonly unit: ReturnType<typeof kernelUnit>;
  readonly symbol: string;
  readonly threadsPerBlock: number;
  readonly overlapsKernelBefore: true;
} {
  const { symbol, threadsPerBlock } = form;
  return { unit: kernelUnit(form), symbol, threadsPerBlock, overlapsKernelBefore: true };
}
