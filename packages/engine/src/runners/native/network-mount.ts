/** Whether files lie on another machine. */

import { statfsSync } from 'node:fs';

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
  [0x0bd00bd0, 'Lustre'],
  [0x65735546, 'FUSE'],
]);

/** Tells a file system's type; throws where it cannot. */
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

function systemType(path: string): number {
  return statfsSync(path).type;
}
