/** The compute pipelines of one router, made when first needed. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { compileFailure } from './errors.ts';
import { launchShape } from './launch-shape.ts';
import type { ExchangePath, LaunchShape, TokenRange } from './launch-shape.ts';
import type { RouterDevice } from './router-device.ts';
import { PLAN_BLOCK, planShader } from './plan-shader.ts';
import { routerShader } from './router-shader.ts';

/** What tells the pipelines of one router apart. */
export interface RoutePipelineKey {
  readonly tokenRange: TokenRange;
  readonly isAligned: boolean;
  readonly hasPadding: boolean;
}

/** A pipeline that routes, and how to dispatch it. */
export interface RoutePipeline {
  readonly pipeline: GPUComputePipeline;
  readonly shape: LaunchShape;
}

/** The pipelines of the dispatch plan. */
export interface PlanPipelines {
  readonly single: GPUComputePipeline;
  readonly count: GPUComputePipeline;
  readonly scan: GPUComputePipeline;
  readonly place: GPUComputePipeline;
  /** Slots in a block; `single` takes one block. */
  readonly block: number;
}

/** Bindings of topk_gating_softmax.wgsl. */
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

/** Makes and keeps pipelines. */
export class RouterPipelines {
  readonly #config: ResolvedRouterConfig;
  readonly #device: RouterDevice;
  readonly #path: ExchangePath;
  readonly #routes = new Map<string, RoutePipeline>();
  #plan: PlanPipelines | null = null;

  constructor(config: ResolvedRouterConfig, device: RouterDevice, path: ExchangePath) {
    this.#config = config;
    this.#device = device;
    this.#path = path;
  }

  /** The pipeline for a kind of call; compiled on the spot where it is new. */
  route(key: RoutePipelineKey): RoutePipeline {
    const name = nameOf(key);
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    const { shape, code } = this.#routeCode(key);
    const { gpuDevice } = this.#device;
    const made = {
      shape,
      pipeline: gpuDevice.createComputePipeline({
        label: `router ${name}`,
        layout: gpuDevice.createPipelineLayout({ bindGroupLayouts: [this.#routeLayout(key)] }),
        compute: { module: gpuDevice.createShaderModule({ label: `router ${name}`, code }), entryPoint: 'route' },
      }),
    };
    this.#routes.set(name, made);
    return made;
  }

  /** Whether `route(key)` would compile. */
  hasRoute(key: RoutePipelineKey): boolean {
    return this.#routes.has(nameOf(key));
  }

  /** The dispatch plan's pipelines; compiled on the spot at first. */
  plan(): PlanPipelines {
    this.#plan ??= this.#createPlan();
    return this.#plan;
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
    throw compileFailure(name, log || (error?.message ?? ''));
  }

  #routeCode(key: RoutePipelineKey): { shape: LaunchShape; code: string } {
    const { isAligned, hasPadding, tokenRange } = key;
    const path = this.#path;
    const { minSubgroupSize } = this.#device;
    const shape = launchShape(this.#config, { path, minSubgroupSize, tokenRange, isAligned });
    return { shape, code: routerShader(this.#config, { shape, path, isAligned, hasPadding }) };
  }

  #routeLayout(key: RoutePipelineKey): GPUBindGroupLayout {
    const { tokenExpertIndices, correctionBias } = this.#config;
    const bindings: [binding: number, type: GPUBufferBindingType, isUsed: boolean][] = [
      [ROUTE_BINDING.call, 'uniform', true],
      [ROUTE_BINDING.logits, 'read-only-storage', true],
      [ROUTE_BINDING.weights, 'storage', true],
      [ROUTE_BINDING.ids, 'storage', true],
      [ROUTE_BINDING.tokenExpertIndices, 'storage', tokenExpertIndices],
      [ROUTE_BINDING.correctionBias, 'read-only-storage', correctionBias !== null],
      [ROUTE_BINDING.paddingMask, 'read-only-storage', key.hasPadding],
      [ROUTE_BINDING.deviceRowCount, 'read-only-storage', key.hasPadding],
    ];
    return computeLayout(
      this.#device.gpuDevice,
      bindings.filter(([, , isUsed]) => isUsed).map(([binding, type]) => [binding, type]),
    );
  }

  #createPlan(): PlanPipelines {
    const { gpuDevice } = this.#device;
    const layout = gpuDevice.createPipelineLayout({
      bindGroupLayouts: [
        computeLayout(gpuDevice, [
          [0, 'uniform'],
          [1, 'storage'],
          [2, 'storage'],
          [3, 'storage'],
          [4, 'storage'],
        ]),
      ],
    });
    const module = gpuDevice.createShaderModule({ label: 'dispatch plan', code: planShader(this.#config) });
    const pipeline = (entryPoint: string): GPUComputePipeline =>
      gpuDevice.createComputePipeline({ label: entryPoint, layout, compute: { module, entryPoint } });
    return {
      single: pipeline('plan_single'),
      count: pipeline('plan_count'),
      scan: pipeline('plan_scan'),
      place: pipeline('plan_place'),
      block: PLAN_BLOCK,
    };
  }
}

function nameOf(key: RoutePipelineKey): string {
  return `${key.tokenRange}${key.isAligned ? ' aligned' : ''}${key.hasPadding ? ' padded' : ''}`;
}

function computeLayout(
  gpuDevice: GPUDevice,
  bindings: readonly (readonly [binding: number, type: GPUBufferBindingType])[],
): GPUBindGroupLayout {
  // 4 is GPUShaderStage.COMPUTE, whose global Node does not have.
  return gpuDevice.createBindGroupLayout({
    entries: bindings.map(([binding, type]) => ({ binding, visibility: 4, buffer: { type } })),
  });
}
