/** AMD's code-object manager, asked which architectures the compiler knows. */

import { rocmCandidates, type SearchedMachine } from '../driver/library-search.ts';
import { NativeMemory, textAt } from '../driver/native-memory.ts';
import { type LibraryLoader, loadFirst, loadSharedLibrary } from '../driver/shared-library.ts';
import { GpuLibraryNotFoundError } from '../driver/errors.ts';

/**
 * The architectures ('gfx90a') that the installed code-object manager knows; null where there is none to ask.
 *
 * @param options.beside the library that will ask it: one of the same installation goes first
 */
export function listKnownArchitectures(
  loader: LibraryLoader = loadSharedLibrary,
  { beside, machine }: { readonly beside?: string; readonly machine?: SearchedMachine } = {},
): readonly string[] | null {
  const names = rocmCandidates('amd_comgr', machine, beside);
  let library: ReturnType<LibraryLoader>;
  try {
    library = loadFirst(loader, 'the code-object manager', names, 'install ROCm');
  } catch (error) {
    if (error instanceof GpuLibraryNotFoundError) return null;
    throw error;
  }
  const count = library.find('amd_comgr_get_isa_count', 'int', ['void *']);
  const name = library.find('amd_comgr_get_isa_name', 'int', ['size_t', 'void *']);
  const out = new NativeMemory(8);
  if (count === null || name === null || count(out.address) !== 0) return null;
  const total = Number(out.view.getBigUint64(0, true));
  const known: string[] = [];
  for (let index = 0; index < total; index += 1) {
    if (name(index, out.address) !== 0) continue;
    // 'amdgcn-amd-amdhsa--gfx90a'
    const isa = textAt(out.view.getBigUint64(0, true));
    known.push(isa.slice(isa.lastIndexOf('-') + 1));
  }
  return known;
}
