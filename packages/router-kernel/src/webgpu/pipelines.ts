/** The compute pipelines of one router, asked of its device when first needed. */

import { compileFailure } from '@switchyard/gpu/webgpu';
import type { CachedPipeline, PipelineDescription, SharedDevice } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { chooseGeometry } from './kernel/launch-geometry.ts';
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
    const bindings = this.#routeBindings(key);
    const label = `router ${name}`;
    const made = { geometry, ...this.#device.pipelines.get({ label, code, entryPoint: 'route', bindings }) };
    this.#routes.set(name, made);
    return made;
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
   * Compiles the shader of a kind of call and reports what the compiler says.
   *
   * @throws KernelCompileError
   */
  async checkCode(key: RoutePipelineKey): Promise<void> {
    const { gpuDevice, name } = this.#device;
    gpuDevice.pushErrorScope('validation');
    const module = gpuDevice.createShaderModule({ code: this.#routeCode(key).code });
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

  #routeBindings(key: RoutePipelineKey): PipelineDescription['bindings'] {
    const { tokenExpertIndices, correctionBias } = this.#config;
    const bindings: [binding: number, type: GPUBufferBindingType, isUsed: boolean][] = [
      [ROUTE_BINDING.call, 'uniform', !key.isContiguous],
      [ROUTE_BINDING.logits, 'read-only-storage', true],
      [ROUTE_BINDING.weights, 'storage', true],
      [ROUTE_BINDING.ids, 'storage', true],
      [ROUTE_BINDING.tokenExpertIndices, 'storage', tokenExpertIndices],
      [ROUTE_BINDING.correctionBias, 'read-only-storage', correctionBias !== null],
      [ROUTE_BINDING.paddingMask, 'read-only-storage', key.hasPadding],
      [ROUTE_BINDING.deviceRowCount, 'read-only-storage', key.hasPadding],
    ];
    return bindings.filter(([, , isUsed]) => isUsed).map(([binding, type]) => [binding, type]);
  }
}

function nameOf(key: RoutePipelineKey): string {
  const { tokenRange, isAligned, isContiguous, hasPadding } = key;
  return `${tokenRange}${isAligned ? ' aligned' : ''}${isContiguous ? ' contiguous' : ''}${hasPadding ? ' padded' : ''}`;
}
