/** Ahead-of-time code objects: none are shipped in this build. */

/** The code object of a kernel for an architecture, or null where none is shipped. */
export function findPrebuilt(_architecture: string, _symbol: string): Uint8Array | null {
  return null;
}
