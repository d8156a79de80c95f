/** Kernels of one device: found ahead of time, on disk, or compiled now; loaded once each. */

import { KernelCompileError } from '../errors.ts';
import type { RouterLogger } from '../logger.ts';
import { CompileCache } from './compile-cache.ts';
import type { GpuDriver, GpuKernel, GpuModule } from './driver/gpu-driver.ts';
import { openHiprtc, openNvrtc } from './driver/runtime-compiler.ts';
import type { KernelCompiler } from './kernel-compiler.ts';
import { findPrebuiltObject } from './kernel/prebuilt-kernels.ts';
import { kernelSource, type KernelSourceName } from './kernel/source.ts';
import type { KernelTarget } from './kernel/specialization.ts';

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
  readonly logger?: RouterLogger;
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
  readonly #logger: RouterLogger | undefined;
  readonly #modules = new Map<string, GpuModule>();
  #compiler: KernelCompiler | undefined;
  #isBundleBroken = false;

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
      const image = this.#findShipped(symbol) ?? (await this.#compile(name, this.#read(name, text), defines, symbol));
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

  /** A bundle that cannot be read, as where a bundler left it behind, costs the time to compile and nothing else. */
  #findShipped(symbol: string): Uint8Array | null {
    if (this.target.vendor !== 'amd' || this.#isBundleBroken) return null;
    try {
      return findPrebuiltObject(this.target.architecture, symbol);
    } catch (error) {
      this.#isBundleBroken = true;
      this.#logger?.warn?.(`The kernels compiled ahead of time cannot be read (${String(error)}); compiling instead.`);
      return null;
    }
  }

  #read(name: string, text: () => string): string {
    try {
      return text();
    } catch (cause) {
      const found = String(cause);
      throw new KernelCompileError(
        this.target.architecture,
        found,
        `The source of the kernel ${name} cannot be read · ${found} · install the package whole, and keep it out of bundles`,
        { cause },
      );
    }
  }

  async #compile(name: string, source: string, defines: KernelUnit['defines'], symbol: string): Promise<Uint8Array> {
    const { architecture } = this.target;
    this.#compiler ??= this.target.vendor === 'amd' ? openHiprtc() : openNvrtc();
    this.#logger?.debug?.(`Compiling ${symbol} for ${architecture} with ${this.#compiler.version}.`);
    return this.#cache.compile(this.#compiler, { source, name: `${name}.hip`, architecture, defines });
  }
}
