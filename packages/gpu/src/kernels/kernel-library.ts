/** Kernels of one device: found ahead of time, on disk, or compiled now; loaded once each. */

import { GpuLibraryNotFoundError } from '../driver/errors.ts';
import { DeviceError, KernelCompileError } from '../errors.ts';
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

/**
 * Finds the shipped code object that holds a unit's kernel for an architecture, the same array each time; null where there
 * is none.
 */
export type PrebuiltLookup = (architecture: string, symbol: string, unit: KernelUnit) => Uint8Array | null;

/** How to make a KernelLibrary. */
export interface KernelLibraryOptions {
  readonly cache?: CompileCache;
  /** The compiler, or what opens it at the first compilation. Defaults to hipRTC on AMD and NVRTC on NVIDIA. */
  readonly compiler?: KernelCompiler | (() => KernelCompiler);
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
  /** By shipped object, or by the text and macros that were compiled. */
  readonly #modules = new Map<Uint8Array | string, GpuModule>();
  readonly #prebuilt: PrebuiltLookup;
  readonly #openCompiler: () => KernelCompiler;
  #compiler: KernelCompiler | undefined;
  #isBundleBroken = false;
  /** Shipped objects that the device's runtime does not take, and why. */
  readonly #refused = new Map<Uint8Array, string>();

  constructor(driver: GpuDriver, options: KernelLibraryOptions = {}) {
    this.target = targetOf(driver);
    this.#driver = driver;
    this.#logger = options.logger;
    this.#cache = options.cache ?? new CompileCache(options.logger === undefined ? {} : { logger: options.logger });
    const { compiler } = options;
    if (typeof compiler === 'object') this.#compiler = compiler;
    this.#openCompiler = typeof compiler === 'function' ? compiler : () => this.#openUsualCompiler();
    this.#prebuilt = options.prebuilt ?? (() => null);
  }

  /**
   * A kernel of a unit.
   *
   * @throws KernelCompileError, UnknownArchitectureError, GpuLibraryNotFoundError where it must be compiled and cannot
   * be; DeviceError where it does not load
   */
  async load(unit: KernelUnit, symbol: string): Promise<GpuKernel> {
    const module = this.#shippedModule(unit, symbol) ?? (await this.#compiledModule(unit, symbol));
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

  /** The module of a shipped object, loaded once for all kernels in it; null where the kernel must be compiled. */
  #shippedModule(unit: KernelUnit, symbol: string): GpuModule | null {
    const image = this.#findShipped(unit, symbol);
    if (image === null || this.#refused.has(image)) return null;
    const loaded = this.#modules.get(image);
    if (loaded !== undefined) return loaded;
    try {
      const module = this.#driver.loadModule(image);
      this.#modules.set(image, module);
      return module;
    } catch (error) {
      // A runtime may be older than a kind of object, as ROCm before 6.4 is than those for generic processors.
      if (!(error instanceof DeviceError)) throw error;
      const isFirst = this.#refused.size === 0;
      this.#refused.set(image, error.message);
      if (!isFirst) return null;
      this.#logger?.warn?.(
        `The kernels compiled ahead of time for ${this.target.architecture} do not load (${error.message}); compiling instead.`,
      );
      return null;
    }
  }

  /** A bundle that cannot be read, as where a bundler left it behind, costs the time to compile and nothing else. */
  #findShipped(unit: KernelUnit, symbol: string): Uint8Array | null {
    if (this.#isBundleBroken) return null;
    try {
      return this.#prebuilt(this.target.architecture, symbol, unit);
    } catch (error) {
      this.#isBundleBroken = true;
      this.#logger?.warn?.(`The kernels compiled ahead of time cannot be read (${String(error)}); compiling instead.`);
      return null;
    }
  }

  async #compiledModule(unit: KernelUnit, symbol: string): Promise<GpuModule> {
    const key = `${unit.name} ${JSON.stringify(unit.defines)}`;
    const loaded = this.#modules.get(key);
    if (loaded !== undefined) return loaded;
    const image = await this.#compile(unit, symbol);
    // Another call may have loaded it meanwhile.
    const module = this.#modules.get(key) ?? this.#driver.loadModule(image);
    this.#modules.set(key, module);
    return module;
  }

  #openUsualCompiler(): KernelCompiler {
    return this.target.vendor === 'amd' ? openHiprtc(undefined, { beside: this.#driver.info.library }) : openNvrtc();
  }

  /** @throws GpuLibraryNotFoundError that says of which kernel nothing was shipped either */
  #compilerFor(unit: KernelUnit, symbol: string): KernelCompiler {
    try {
      this.#compiler ??= this.#openCompiler();
      return this.#compiler;
    } catch (error) {
      if (!(error instanceof GpuLibraryNotFoundError) || this.target.vendor !== 'amd') throw error;
      const { architecture } = this.target;
      const image = this.#findShipped(unit, symbol);
      const refusal = image === null ? undefined : this.#refused.get(image);
      const shipped = this.#isBundleBroken
        ? 'what was compiled ahead of time cannot be read'
        : refusal === undefined
          ? 'it is not among those compiled ahead of time'
          : `the one compiled ahead of time does not load (${refusal})`;
      throw new GpuLibraryNotFoundError(
        error.library,
        error.tried,
        `install ${error.library} (ROCm 5.2 or newer), or use an architecture and a configuration that is compiled ahead of time, or backend "cpu"`,
        `No kernel ${symbol} for ${architecture}: ${shipped}, and ${error.library} to compile it could not be loaded`,
      );
    }
  }

  #read({ name, source }: KernelUnit): string {
    try {
      return source();
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

  async #compile(unit: KernelUnit, symbol: string): Promise<Uint8Array> {
    const { architecture } = this.target;
    const compiler = this.#compilerFor(unit, symbol);
    this.#logger?.debug?.(`Compiling ${symbol} for ${architecture} with ${compiler.version}.`);
    const { name, defines } = unit;
    const request = { source: this.#read(unit), name: `${name}.hip`, architecture, defines };
    return this.#cache.compile(compiler, request);
  }
}
