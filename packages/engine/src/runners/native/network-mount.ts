/** Whether files lie on another machine. */

import { readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Types of file systems that reach over a network, or through another program that may (include/uapi/linux/magic.h).
 * A page of a mapped file that such a one does not bring ends the process.
 */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9P'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x0bd00bd0, 'Lustre'],
  [0x65735546, 'FUSE'],
  // Not in that header, but as GNU coreutils lists them (src/stat.c).
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0xaad7aaea, 'PanFS'],
  [0x786f4256, 'a shared folder of VirtualBox'],
  [0x7c7c6673, 'a shared folder of Parallels'],
  [0xbacbacbc, 'a shared folder of VMware'],
]);

/** Tells the type of the file system that a path, or what it links to, is on; throws where it cannot. */
export type FileSystemType = (path: string) => number;

/** The network file system that a path is on; null for a local one, or where the system does not tell. */
export function networkFileSystem(path: string, typeOf: FileSystemType = systemType): string | null {
  try {
    // Some systems tell the type as a signed number.
    return NETWORK_FILE_SYSTEMS.get(typeOf(path) >>> 0) ?? null;
  } catch {
    return null;
  }
}

/**
 * The network file system that a checkpoint's folder, or one of its weight files, is on: they may be links to another place.
 * Null where all are local.
 */
export function networkFileSystemOf(folder: string, typeOf: FileSystemType = systemType): string | null {
  const files = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  for (const path of [folder, ...files.map((name) => join(folder, name))]) {
    const found = networkFileSystem(path, typeOf);
    if (found !== null) return found;
  }
  return null;
}

function systemType(path: string): number {
  return statfsSync(path).type;
}
