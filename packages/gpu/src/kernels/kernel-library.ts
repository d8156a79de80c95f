/** Kernels of one device: found ahead of time, on disk, or compiled now; loaded once each. */

import type { GpuDriver, GpuKernel, GpuModule } from '../driver/gpu-driver.ts';
import type { Logger } from '../logger.ts';
import { CompileCache } from './compile-cache.ts';
import type { KernelCompiler } from './kernel-compiler.ts';
import type { KernelTarget } from './kernel-target.ts';
import { openHiprtc, openNvrtc } from './runtime-compiler.ts';

/** A translation unit with its macros. */
export interface KernelUnit {
  /** A name for messages; units of one library that differ in more than their macros differ in it. */
  readonly name: string;
  /** The whole text; it includes nothing. Asked for only where it must be compiled. */
  readonly source: () => string;
  readonly defines: Readonly<Record<string, string | number>>;
}

/** Finds the shipped code object that holds a kernel for an architecture; null where there is none. */
export type PrebuiltLookup = (architecture: string, symbol: string) => Uint8Array | null;

/** How to make a KernelLibrary. */
export interface KernelLibraryOptions {
  readonly cache?: CompileCache;
  /** Defaults to hipRTC on AMD and NVRTC on NVIDIA, opened at the first compilation. */
  readonly compiler?: KernelCompiler;
  /** Code objects that were compiled ahead of time. Defaults to none. */
  readonly prebuilt?: PrebuiltLookup;
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
  readonly #prebuilt: PrebuiltLookup;
  #compiler: KernelCompiler | undefined;

  constructor(driver: GpuDriver, options: KernelLibraryOptions = {}) {
    this.target = targetOf(driver);
    this.#driver = driver;
    this.#logger = options.logger;
    this.#cache = options.cache ?? new CompileCache(options.logger === undefined ? {} : { logger: options.logger });
    this.#compiler = options.compiler;
    this.#prebuilt = options.prebuilt ?? (() => null);
  }

  /**
   * A kernel of a unit.
   *
   * @throws KernelCompileError, UnknownArchitectureError, GpuLibraryNotFoundError where it must be compiled and cannot
   * be; DeviceError where it does not load
   */
  async load(unit: KernelUnit, symbol: string): Promise<GpuKernel> {
    const key = `${unit.name} ${JSON.stringify(unit.defines)}`;
    let module = this.#modules.get(key);
    if (module === undefined) {
      const image = this.#prebuilt(this.target.architecture, symbol) ?? (await this.#compile(unit, symbol));
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

  async #compile({ name, source, defines }: KernelUnit, symbol: string): Promise<Uint8Array> {
    const { architecture } = this.target;
    this.#compiler ??=
      this.target.vendor === 'amd' ? openHiprtc(undefined, { beside: this.#driver.info.library }) : openNvrtc();
    this.#logger?.debug?.(`Compiling ${symbol} for ${architecture} with ${this.#compiler.version}.`);
    const request = { source: source(), name: `${name}.hip`, architecture, defines };
    return this.#cache.compile(this.#compiler, request);
  }
}
