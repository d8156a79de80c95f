/** What compiles kernels, whoever's compiler it is. */

/** One thing to compile. */
export interface CompileRequest {
  /** The whole text; it includes nothing. */
  readonly source: string;
  /** A name for messages. */
  readonly name: string;
  /** Such as 'gfx942' or 'sm_90'. */
  readonly architecture: string;
  /** Macros, passed as -Dname=value. */
  readonly defines: Readonly<Record<string, string | number>>;
}

/** A compiler at hand. */
export interface KernelCompiler {
  /** Its name and version, such as 'NVRTC 13.0': part of the cache's key. */
  readonly version: string;
  /** The options that a request is compiled with, in order. */
  options(request: CompileRequest): readonly string[];
  /**
   * Compiles to a code object (hsaco, cubin). Takes tenths of a second on the calling thread.
   *
   * @throws KernelCompileError with the compiler's log; UnknownArchitectureError
   */
  compile(request: CompileRequest): Uint8Array;
}
