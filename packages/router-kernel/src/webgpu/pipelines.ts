/** The compute pipelines of one router, asked of its device when first needed. */

import { compileFailure } from '@switchyard/gpu/webgpu';
import type { CachedPipeline, PipelineDescription, SharedDevice } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { GATE_PARTIAL_SUMS } from '../gate/gate-contract.ts';
import type { GateShape } from '../gate/gate-contract.ts';
import { GATE_ROWS } from './kernel/gate-values.ts';
import { chooseGeometry, gatedGeometry } from './kernel/launch-geometry.ts';
import type { ExchangePath, LaunchGeometry, TokenRange } from './kernel/launch-geometry.ts';
import type { ExpertTileShape } from '../expert-tiles.ts';
import { planShader, tilesShader } from './kernel/plan-shader.ts';
import { routerShader } from './kernel/router-shader.ts';

/** What tells the pipelines of one router apart. */
export interface RoutePipelineKey {
  readonly tokenRange: TokenRange;
  readonly isAligned: boolean;
  readonly hasPadding: boolean;
  /** See `RouterShaderOptions.isContiguous`. */
  readonly isContiguous: boolean;
}

/** A pipeline that routes, and how to dispatch it. */
export interface RoutePipeline extends CachedPipeline {
  readonly geometry: LaunchGeometry;
}

/** The entry points of the dispatch plan: the first for up to one block of slots, else the others in order. */
export type PlanStep = 'plan_single' | 'plan_count' | 'plan_scan' | 'plan_place';

/** Bindings of kernels/parts/bindings.wgsl. */
export const ROUTE_BINDING = {
  call: 0,
  logits: 1,
  weights: 2,
  ids: 3,
  tokenExpertIndices: 4,
  correctionBias: 5,
  paddingMask: 6,
  deviceRowCount: 7,
} as const;

/** Bindings of kernels/parts/gate_sums.wgsl, hand_over_logits.wgsl and plan_of_few.wgsl. Logits are the router's. */
export const GATE_BINDING = {
  call: 8,
  hidden: 9,
  parameters: 10,
  handOver: 11,
  expertOffsets: 12,
  sortedSlots: 13,
  expertTiles: 14,
} as const;

/** Bindings of dispatch_plan.wgsl: the call, ids, expert_offsets, sorted_slots and counts. */
const PLAN_BINDINGS: PipelineDescription['bindings'] = [
  [0, 'uniform'],
  [1, 'storage'],
  [2, 'storage'],
  [3, 'storage'],
  [4, 'storage'],
];

/** Bindings of expert_tiles.wgsl: the call, expert_offsets and expert_tiles. */
const TILE_BINDINGS: PipelineDescription['bindings'] = [
  [0, 'uniform'],
  [1, 'storage'],
  [2, 'storage'],
];

/** The pipelines that one router uses. */
export class RouterPipelines {
  readonly #config: ResolvedRouterConfig;
  readonly #device: SharedDevice;
  readonly #path: ExchangePath;
  readonly #routes = new Map<string, RoutePipeline>();
  readonly #plan = new Map<PlanStep, CachedPipeline>();
  #tiles: CachedPipeline | null = null;

  constructor(config: ResolvedRouterConfig, device: SharedDevice, path: ExchangePath) {
    this.#config = config;
    this.#device = device;
    this.#path = path;
  }

  /** The pipeline for a kind of call; compiled on the spot where the device does not have it. */
  route(key: RoutePipelineKey): RoutePipeline {
    const name = nameOf(key);
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    const { geometry, code } = this.#routeCode(key);
    const bindings = this.#bindings(key, false);
    const label = `router ${name}`;
    const made = { geometry, ...this.#device.pipelines.get({ label, code, entryPoint: 'route', bindings }) };
    this.#routes.set(name, made);
    return made;
  }

  /**
   * The pipeline that also forms the logits of a gate, for up to GATE_ROWS tokens; compiled on the spot where the device does
   * not have it. Null where the device has not the memory for it, or cannot bind as many buffers.
   */
  gated(gate: GateShape, key: RoutePipelineKey): RoutePipeline | null {
    const name = `gated ${nameOf(key)}`;
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    const bindings = this.#bindings(key, true);
    const made = this.#gatedCode(gate, key);
    const buffers = bindings.filter(([, type]) => type !== 'uniform').length;
    if (made === null || buffers > this.#device.gpuDevice.limits.maxStorageBuffersPerShaderStage) return null;
    const { geometry, code } = made;
    const label = `router ${name}`;
    const pipeline = { geometry, ...this.#device.pipelines.get({ label, code, entryPoint: 'route', bindings }) };
    this.#routes.set(name, pipeline);
    return pipeline;
  }

  /** The pipeline of a step of the dispatch plan; compiled on the spot where the device does not have it. */
  plan(step: PlanStep): CachedPipeline {
    const known = this.#plan.get(step);
    if (known !== undefined) return known;
    const made = this.#device.pipelines.get({
      label: step,
      code: planShader(this.#config),
      entryPoint: step,
      bindings: PLAN_BINDINGS,
    });
    this.#plan.set(step, made);
    return made;
  }

  /** The pipeline that lists a plan's row tiles; compiled on the spot where the device does not have it. */
  tiles(shape: ExpertTileShape): CachedPipeline {
    this.#tiles ??= this.#device.pipelines.get({
      label: 'list_tiles',
      code: tilesShader(shape),
      entryPoint: 'list_tiles',
      bindings: TILE_BINDINGS,
    });
    return this.#tiles;
  }

  /**
   * Compiles the shader of a kind of call, of a gate where one is given, and reports what the compiler says.
   *
   * @throws KernelCompileError
   */
  async checkCode(key: RoutePipelineKey, gate?: GateShape): Promise<void> {
    const { gpuDevice, name } = this.#device;
    const made = gate === undefined ? this.#routeCode(key) : this.#gatedCode(gate, key);
    if (made === null) return;
    gpuDevice.pushErrorScope('validation');
    const module = gpuDevice.createShaderModule({ code: made.code });
    // The scope is closed before anything is awaited: scopes are a stack of the device, and other calls use it too.
    const scope = gpuDevice.popErrorScope();
    const [info, error] = await Promise.all([module.getCompilationInfo(), scope]);
    const complaints = info.messages.filter((message) => message.type === 'error');
    if (complaints.length === 0 && error === null) return;
    const log = complaints.map((message) => `line ${message.lineNum}: ${message.message}`).join('; ');
    throw compileFailure('the router', name, log || (error?.message ?? ''));
  }

  #routeCode(key: RoutePipelineKey): { geometry: LaunchGeometry; code: string } {
    const { isAligned, hasPadding, isContiguous, tokenRange } = key;
    const path = this.#path;
    const { minSubgroupSize } = this.#device;
    const geometry = chooseGeometry(this.#config, { path, minSubgroupSize, tokenRange, isAligned });
    return { geometry, code: routerShader(this.#config, { geometry, path, isAligned, hasPadding, isContiguous }) };
  }

  #gatedCode(gate: GateShape, key: RoutePipelineKey): { geometry: LaunchGeometry; code: string } | null {
    const { isAligned, hasPadding } = key;
    const path = this.#path;
    const { minSubgroupSize } = this.#device;
    const workgroup = { invocations: GATE_PARTIAL_SUMS, gateRows: GATE_ROWS };
    const geometry = gatedGeometry(this.#config, { path, minSubgroupSize, isAligned }, workgroup);
    if (geometry === null) return null;
    return { geometry, code: routerShader(this.#config, { geometry, path, isAligned, hasPadding, gate }) };
  }

  #bindings(key: RoutePipelineKey, isGated: boolean): PipelineDescription['bindings'] {
    const { tokenExpertIndices, correctionBias, dispatchPlan, expertTiles } = this.#config;
    const bindings: [binding: number, type: GPUBufferBindingType, isUsed: boolean][] = [
      [ROUTE_BINDING.call, 'uniform', !key.isContiguous],
      [ROUTE_BINDING.logits, isGated ? 'storage' : 'read-only-storage', true],
      [ROUTE_BINDING.weights, 'storage', true],
      [ROUTE_BINDING.ids, 'storage', true],
      [ROUTE_BINDING.tokenExpertIndices, 'storage', tokenExpertIndices],
      // A gate has it among its parameters.
      [ROUTE_BINDING.correctionBias, 'read-only-storage', correctionBias !== null && !isGated],
      [ROUTE_BINDING.paddingMask, 'read-only-storage', key.hasPadding],
      [ROUTE_BINDING.deviceRowCount, 'read-only-storage', key.hasPadding],
      [GATE_BINDING.call, 'uniform', isGated],
      [GATE_BINDING.hidden, 'read-only-storage', isGated],
      [GATE_BINDING.parameters, 'read-only-storage', isGated],
      [GATE_BINDING.handOver, 'storage', isGated],
      [GATE_BINDING.expertOffsets, 'storage', isGated && dispatchPlan],
      [GATE_BINDING.sortedSlots, 'storage', isGated && dispatchPlan],
      [GATE_BINDING.expertTiles, 'storage', isGated && expertTiles !== null],
    ];
    return bindings.filter(([, , isUsed]) => isUsed).map(([binding, type]) => [binding, type]);
  }
}

function nameOf(key: RoutePipelineKey): string {
  const { tokenRange, isAligned, isContiguous, hasPadding } = key;
  return `${tokenRange}${isAligned ? ' aligned' : ''}${isContiguous ? ' contiguous' : ''}${hasPadding ? ' padded' : ''}`;
}
