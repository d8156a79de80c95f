import { readFileSync } from 'node:fs';
import { chooseLibrary, nativeLibraries } from '../../../src/runners/native/library.ts';
import type { LibraryEntry } from '../../../src/runners/native/library.ts';

const MACHINE = {
  platform: process.platform,
  arch: process.arch,
  readText: (path: string): string => readFileSync(path, 'utf8'),
};

/** The libraries that this machine runs, the best first; none where no library is for it. */
export const USABLE_LIBRARIES: readonly LibraryEntry[] = nativeLibraries().filter((entry) => {
  try {
    return chooseLibrary([entry], MACHINE) === entry;
  } catch {
    return false;
  }
});
