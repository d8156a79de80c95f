/** Loading a C library by its usual names, and binding its functions. */

import { accessSync, constants } from 'node:fs';
import { isAbsolute } from 'node:path';
import koffi from 'koffi';
import { BackendUnavailableError, reasonOf } from '../errors.ts';
import { DriverTooOldError, GpuLibraryNotFoundError } from './errors.ts';

/** What a C function takes. Pointers travel as bigint. */
export type NativeArgument = number | bigint | string | null;

/** A bound C function: numbers and pointers in, a status or a pointer out. */
export type NativeFunction = (...args: readonly NativeArgument[]) => number | bigint | string;

/** C types that the bindings here use. Pointers travel as bigint. */
export type NativeType = 'int' | 'uint' | 'uint8' | 'uint64' | 'size_t' | 'float' | 'void *' | 'const char *';

/** A loaded library. */
export interface SharedLibrary {
  /** The name or path that loaded. */
  readonly path: string;
  /** Binds a function, or returns null where the library has none of that name. */
  find(symbol: string, result: NativeType, parameters: readonly NativeType[]): NativeFunction | null;
}

/** Loads a library; throws where it cannot. Replaced in tests. */
export type LibraryLoader = (path: string) => SharedLibrary;

/** Runtime compilers recurse deeply; the 1 MiB that a call gets by default is less than a thread's usual stack. */
const CALL_STACK_BYTES = 8 * 1024 * 1024;

function widenCallStack(): void {
  try {
    koffi.config({ sync_stack_size: CALL_STACK_BYTES });
  } catch {
    // Other code of this process has made calls already, after which the stack keeps its size.
  }
}

/** RTLD_NOW and RTLD_NODELETE of glibc and musl. */
const NOW_FOR_GOOD = 0x1002;

/**
 * Keeps a library mapped. koffi unloads one as soon as its last function is collected, and GPU runtimes and their compilers are
 * not made to be loaded a second time: they leave threads behind, and an LLVM that registers its options twice ends the process.
 */
function keepLoaded(path: string): void {
  if (process.platform !== 'linux') return;
  try {
    koffi.load(null).func('dlopen', 'void *', ['const char *', 'int'])(path, NOW_FOR_GOOD);
  } catch {
    // Where the linker is not to be called, the library stays as long as somebody holds it.
  }
}

/** Loads through the dynamic linker. The library stays loaded until the process ends. */
export const loadSharedLibrary: LibraryLoader = (path) => {
  if (isAbsolute(path)) accessSync(path, constants.R_OK);
  widenCallStack();
  const library = koffi.load(path);
  keepLoaded(path);
  return {
    path,
    find(symbol, result, parameters) {
      try {
        return library.func(symbol, result, [...parameters]);
      } catch {
        return null;
      }
    },
  };
};

/**
 * Loads the first of several names that is there.
 *
 * @param purpose What the library is, for the error's text.
 * @param candidates Names for the dynamic linker, or absolute paths, best first.
 * @param advice What the reader of the error should do.
 * @throws GpuLibraryNotFoundError listing every name and why it failed.
 */
export function loadFirst(
  loader: LibraryLoader,
  purpose: string,
  candidates: readonly string[],
  advice: string,
): SharedLibrary {
  const notFound = ({ notLoaded }: UnusableLibraries): Error => new GpuLibraryNotFoundError(purpose, notLoaded, advice);
  return useFirst(loader, candidates, (library) => library, notFound);
}

/** What became of several candidates, none of which was of use. */
export interface UnusableLibraries {
  /** Those that did not load, and why. */
  readonly notLoaded: readonly string[];
  /** Why each of those that loaded is of no use. */
  readonly refusals: readonly BackendUnavailableError[];
}

/**
 * Loads candidates, best first, until one is of use.
 *
 * @param use throws BackendUnavailableError where a library that loaded cannot be used
 * @param none makes the error that is thrown where none was of use
 */
export function useFirst<Result>(
  loader: LibraryLoader,
  candidates: readonly string[],
  use: (library: SharedLibrary) => Result,
  none: (unusable: UnusableLibraries) => Error,
): Result {
  const notLoaded: string[] = [];
  const refusals: BackendUnavailableError[] = [];
  for (const candidate of candidates) {
    let library: SharedLibrary;
    try {
      library = loader(candidate);
    } catch (error) {
      notLoaded.push(`${candidate} (${reasonOf(error)})`);
      continue;
    }
    try {
      return use(library);
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error;
      refusals.push(error);
    }
  }
  throw none({ notLoaded, refusals });
}

/** A function's accepted names, newest first, and its parameters; the result is an int status. */
export interface FunctionShape {
  readonly names: readonly string[];
  readonly parameters: readonly NativeType[];
}

/** A function that returns a status code, 0 for success. */
export type StatusFunction = (...args: readonly NativeArgument[]) => number;

/**
 * Binds a table of status functions.
 *
 * @throws DriverTooOldError naming every function that the library lacks.
 */
export function bindAll<Name extends string>(
  library: SharedLibrary,
  shapes: Readonly<Record<Name, FunctionShape>>,
  advice: string,
): Record<Name, StatusFunction> {
  const bound: Partial<Record<Name, StatusFunction>> = {};
  const missing: string[] = [];
  for (const key of Object.keys(shapes) as Name[]) {
    const shape = shapes[key];
    let found: NativeFunction | null = null;
    for (const name of shape.names) found ??= library.find(name, 'int', shape.parameters);
    if (found === null) missing.push(shape.names.join(' or '));
    else bound[key] = found as StatusFunction;
  }
  if (missing.length > 0) throw new DriverTooOldError(library.path, missing, advice);
  return bound as Record<Name, StatusFunction>;
}
