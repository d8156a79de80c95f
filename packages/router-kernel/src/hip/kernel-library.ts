/** Kernels of one device: found ahead of time, on disk, or compiled now; loaded once each. */

import { openHiprtc, openNvrtc } from '@switchyard/gpu';
import type { GpuDriver, GpuKernel, GpuModule, KernelCompiler, KernelTarget } from '@switchyard/gpu';
import type { Logger } from '@switchyard/gpu/logger';
import { CompileCache } from './compile-cache.ts';
import { findPrebuiltObject } from './kernel/prebuilt-kernels.ts';
import { kernelSource, type KernelSourceName } from './kernel/source.ts';

/** A translation unit with its macros. */
export interface KernelUnit {
  readonly source: KernelSourceName;
  readonly defines: Readonly<Record<string, string | number>>;
}

/** How to make a KernelLibrary. */
export interface KernelLibraryOptions {
  readonly cache?: CompileCache;
  /** Defaults to hipRTC on AMD and NVRTC on NVIDIA, opened at the first compilation. */
  readonly compiler?: KernelCompiler;
  readonly logger?: Logger;
}

/** What kernels are compiled for on a device. */
export function targetOf(driver: GpuDriver): KernelTarget {
  return {
    vendor: driver.platform,
    architecture: driver.info.architecture,
    waveSize: driver.info.waveSize === 64 ? 64 : 32,
  };
}

/** Loads kernels and keeps them until it is disposed. */
export class KernelLibrary {
  readonly target: KernelTarget;
  readonly #driver: GpuDriver;
  readonly #cache: CompileCache;
  readonly #logger: Logger | undefined;
  readonly #modules = new Map<string, GpuModule>();
  #compiler: KernelCompiler | undefined;

  constructor(driver: GpuDriver, options: KernelLibraryOptions = {}) {
    this.target = targetOf(driver);
    this.#driver = driver;
    this.#logger = options.logger;
    this.#cache = options.cache ?? new CompileCache(options.logger === undefined ? {} : { logger: options.logger });
    this.#compiler = options.compiler;
  }

  /**
   * A kernel of a unit.
   *
   * @throws KernelCompileError, UnknownArchitectureError, GpuLibraryNotFoundError where it must be compiled and cannot
   * be; DeviceError where it does not load
   */
  async load(unit: KernelUnit, symbol: string): Promise<GpuKernel> {
    return this.#loadFrom(unit.source, () => kernelSource(unit.source), unit.defines, symbol);
  }

  /** A kernel of a text that is not one of the router's own. Throws what `load` throws. */
  async loadText(name: string, text: string, defines: KernelUnit['defines'], symbol: string): Promise<GpuKernel> {
    return this.#loadFrom(name, () => text, defines, symbol);
  }

  async #loadFrom(
    name: string,
    text: () => string,
    defines: KernelUnit['defines'],
    symbol: string,
  ): Promise<GpuKernel> {
    const key = `${name} ${JSON.stringify(defines)}`;
    let module = this.#modules.get(key);
    if (module === undefined) {
      const { vendor, architecture } = this.target;
      const shipped = vendor === 'amd' ? findPrebuiltObject(architecture, symbol) : null;
      const image = shipped ?? (await this.#compile(name, text(), defines, symbol));
      // Another call may have loaded it meanwhile.
      module = this.#modules.get(key) ?? this.#driver.loadModule(image);
      this.#modules.set(key, module);
    }
    this.#driver.activate();
    return module.kernel(symbol);
  }

  /** The runtime compiler that has been used; null while everything was at hand. */
  get compilerVersion(): string | null {
    return this.#compiler?.version ?? null;
  }

  /** Unloads every module; kernels of it must not be launched any more. */
  dispose(): void {
    for (const module of this.#modules.values()) module.unload();
    this.#modules.clear();
  }

  async #compile(name: string, source: string, defines: KernelUnit['defines'], symbol: string): Promise<Uint8Array> {
    const { architecture } = this.target;
    this.#compiler ??= this.target.vendor === 'amd' ? openHiprtc() : openNvrtc();
    this.#logger?.debug?.(`Compiling ${symbol} for ${architecture} with ${this.#compiler.version}.`);
    return this.#cache.compile(this.#compiler, { source, name: `${name}.hip`, architecture, defines });
  }
}
