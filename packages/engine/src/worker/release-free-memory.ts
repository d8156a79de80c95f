/**
 * Giving memory back to the system once a model is loaded.
 */

import koffi from 'koffi';

/**
 * Returns the allocator's free pages to the system. Loading converts weights through buffers that are freed at once;
 * glibc keeps their pages, tens of megabytes for the embedded model. Takes a few milliseconds. Where the C library has
 * no malloc_trim (macOS, Windows, musl) nothing happens.
 */
export function releaseFreeMemory(): void {
  if (process.platform !== 'linux') return;
  try {
    koffi.load('libc.so.6').func('int malloc_trim(size_t padding)')(0);
  } catch {
    // Another C library: its allocator has no such call.
  }
}
