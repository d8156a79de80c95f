/** Below this, megabytes are told. */
const GIGABYTE = 1e9;

/** Bytes as people read them, in powers of ten as the sizes of files and disks are given: '17.2 GB', '18 MB'. */
export function describeBytes(bytes: number): string {
  return bytes < GIGABYTE ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / GIGABYTE).toFixed(1)} GB`;
}
