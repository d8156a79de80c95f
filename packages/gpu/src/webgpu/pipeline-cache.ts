/// <reference types="@webgpu/types" preserve="true" />
/** The compute pipelines of a device, found again by their code: users with the same code share them. */

/** A pipeline, and the layout of its one bind group. */
export interface CachedPipeline {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroupLayout: GPUBindGroupLayout;
}

/** What a pipeline is made from. */
export interface PipelineDescription {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  /** The bindings of group 0, all of them buffers. */
  readonly bindings: readonly (readonly [binding: number, type: GPUBufferBindingType])[];
}

/** Pipelines that are kept beyond their users: a bound for programs that make ever new ones. */
const MOST_PIPELINES = 128;
/** GPUShaderStage.COMPUTE, whose global Node does not have. */
const COMPUTE = 4;

/** Makes pipelines, and keeps the most recently used. */
export class PipelineCache {
  readonly #gpuDevice: GPUDevice;
  readonly #pipelines = new Map<string, CachedPipeline>();

  constructor(gpuDevice: GPUDevice) {
    this.#gpuDevice = gpuDevice;
  }

  /** The pipeline of a description; compiled on the spot where it is new. */
  get(description: PipelineDescription): CachedPipeline {
    const name = `${description.entryPoint}\n${description.code}`;
    const found = this.#pipelines.get(name);
    // Deleted and set again, a Map's entries stand in the order of their last use.
    this.#pipelines.delete(name);
    const pipeline = found ?? this.#create(description);
    this.#pipelines.set(name, pipeline);
    if (this.#pipelines.size > MOST_PIPELINES) {
      for (const oldest of this.#pipelines.keys()) {
        this.#pipelines.delete(oldest);
        break;
      }
    }
    return pipeline;
  }

  #create({ label, code, entryPoint, bindings }: PipelineDescription): CachedPipeline {
    const gpuDevice = this.#gpuDevice;
    const bindGroupLayout = gpuDevice.createBindGroupLayout({
      entries: bindings.map(([binding, type]) => ({ binding, visibility: COMPUTE, buffer: { type } })),
    });
    const pipeline = gpuDevice.createComputePipeline({
      label,
      layout: gpuDevice.createPipelineLayout({ bindGroupLayouts: [bindGroupLayout] }),
      compute: { module: gpuDevice.createShaderModule({ label, code }), entryPoint },
    });
    return { pipeline, bindGroupLayout };
  }
}
