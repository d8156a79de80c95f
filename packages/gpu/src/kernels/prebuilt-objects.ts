/** Code objects that a package ships: a folder with an archive for each architecture. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { genericTargetOf, withoutFeatures } from '../driver/architectures.ts';
import type { KernelUnit } from './kernel-library.ts';
import { decompressArchive, unpackObjects } from './object-archive.ts';

/**
 * Finds the shipped code object that holds a kernel for an architecture, the same array each time; null where there is
 * none.
 *
 * @throws Error where the folder is not there or an archive is damaged
 */
export type ObjectLookup = (architecture: string, key: string) => Uint8Array | null;

/** The name of the archive of an architecture. */
export function archiveName(architecture: string): string {
  return `${architecture}.objects.br`;
}

/**
 * Looks kernels up in a folder of archives. Objects for the GPU's own architecture come before those for the generic
 * processor that it belongs to; settings such as `:xnack-` do not matter. An archive is read at the first question for its
 * architecture.
 *
 * @param folder ends with a slash
 */
export function prebuiltLookup(folder: URL): ObjectLookup {
  const archives = new Map<string, ReadonlyMap<string, Uint8Array>>();
  const objectsOf = (architecture: string): ReadonlyMap<string, Uint8Array> => {
    const objects = archives.get(architecture) ?? readObjects(folder, architecture);
    archives.set(architecture, objects);
    return objects;
  };
  return (architecture, key) => {
    const own = withoutFeatures(architecture);
    const generic = genericTargetOf(own);
    return objectsOf(own).get(key) ?? (generic === null ? null : (objectsOf(generic).get(key) ?? null));
  };
}

/** By key; none for an architecture that has no archive. */
function readObjects(folder: URL, architecture: string): ReadonlyMap<string, Uint8Array> {
  const file = new URL(archiveName(architecture), folder);
  if (existsSync(folder) && !existsSync(file)) return new Map();
  const objects = unpackObjects(decompressArchive(readFileSync(file)));
  return new Map(objects.flatMap(({ keys, code }) => keys.map((key) => [key, code] as const)));
}

/**
 * A key of a kernel that says all that it is compiled from: by it, an object of an older text is never found.
 *
 * @throws Error where the source cannot be read
 */
export function kernelKey({ source, defines }: Pick<KernelUnit, 'source' | 'defines'>, symbol: string): string {
  const hash = createHash('sha256');
  const macros = Object.entries(defines).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const part of [symbol, JSON.stringify(macros), source()]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest('hex').slice(0, 24);
}
