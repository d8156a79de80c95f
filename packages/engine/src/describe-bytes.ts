const KILOBYTE = 1e3;
const MEGABYTE = 1e6;
const GIGABYTE = 1e9;

/** Bytes as people read them, in powers of ten as the sizes of files and disks are given: '17.2 GB', '18 MB', '4 kB'. */
export function describeBytes(bytes: number): string {
  if (bytes >= GIGABYTE) return `${(bytes / GIGABYTE).toFixed(1)} GB`;
  return bytes >= MEGABYTE ? `${Math.round(bytes / MEGABYTE)} MB` : `${Math.round(bytes / KILOBYTE)} kB`;
}
