/** Failures of finding and opening a GPU. Each extends the error of the same kind in errors.ts. */

import { BackendUnavailableError, GpuError } from '../errors.ts';

/** None of a library's usual names could be loaded. Code `GPU_LIBRARY_NOT_FOUND`. */
export class GpuLibraryNotFoundError extends BackendUnavailableError {
  override readonly code: string = 'GPU_LIBRARY_NOT_FOUND';
  /** What the library is for, such as `'the AMD HIP runtime'`. */
  readonly library: string;

  /** @param happened what could not be done. Defaults to that the library could not be loaded. */
  constructor(library: string, tried: readonly string[], advice: string, happened = `Could not load ${library}`) {
    super('hip', `${happened} · tried ${tried.join('; ')} · ${advice}`, tried);
    this.library = library;
  }
}

/** A driver was found, but it sees no GPU, or not the one that was asked for. Code `NO_GPU`. */
export class NoGpuError extends BackendUnavailableError {
  override readonly code: string = 'NO_GPU';
}

/** A library lacks a function that this package calls. Code `DRIVER_TOO_OLD`. */
export class DriverTooOldError extends BackendUnavailableError {
  override readonly code: string = 'DRIVER_TOO_OLD';
  /** The file that was loaded. */
  readonly library: string;
  /** The functions that it lacks. */
  readonly missing: readonly string[];

  constructor(library: string, missing: readonly string[], advice: string) {
    super('hip', `${library} is too old · it lacks ${missing.join(', ')} · ${advice}`, [library]);
    this.library = library;
    this.missing = missing;
  }
}

/** A compiler, or this package, does not know a GPU architecture. Code `UNKNOWN_ARCHITECTURE`. */
export class UnknownArchitectureError extends GpuError {
  /** What was asked for, such as `'gfx942'`. */
  readonly architecture: string;
  /** What the compiler knows; empty where it does not say. */
  readonly known: readonly string[];

  constructor(architecture: string, compiler: string, known: readonly string[]) {
    const found = known.length === 0 ? 'it does not list what it knows' : `it knows ${known.join(', ')}`;
    super(
      'UNKNOWN_ARCHITECTURE',
      `${compiler} cannot compile for ${architecture} · ${found} · use a newer ROCm or CUDA, or an ahead-of-time object`,
    );
    this.architecture = architecture;
    this.known = known;
  }
}

/** A GPU is older than the kernels are written for. Code `UNSUPPORTED_ARCHITECTURE`. */
export class UnsupportedArchitectureError extends BackendUnavailableError {
  override readonly code: string = 'UNSUPPORTED_ARCHITECTURE';
  /** Such as `'gfx803'`. */
  readonly architecture: string;

  constructor(architecture: string) {
    super(
      'hip',
      `${architecture} is not supported · kernels are written for AMD gfx9 (Vega, CDNA), gfx10 and newer (RDNA), and NVIDIA · use such a GPU, or backend "cpu"`,
      [architecture],
    );
    this.architecture = architecture;
  }
}
