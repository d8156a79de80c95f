import { markAsUntransferable } from 'node:worker_threads';
import koffi from 'koffi';

/** Maps part of a file into memory. Returns null where the system refuses. */
export type MapRegion = (fileDescriptor: number, offset: number, length: number) => Uint8Array | null;

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_PRIVATE = 2;

/** What differs between the systems that have mmap. */
const platforms: Readonly<Partial<Record<NodeJS.Platform, { libraries: readonly string[]; noReserve: number }>>> = {
  // The second name is musl's.
  linux: { libraries: ['libc.so.6', `libc.musl-${muslArchitecture()}.so.1`], noReserve: 0x4000 },
  darwin: { libraries: ['libSystem.B.dylib'], noReserve: 0x40 },
};

function muslArchitecture(): string {
  return process.arch === 'arm64' ? 'aarch64' : 'x86_64';
}

let loaded: MapRegion | null | undefined;

/**
 * The system's mmap, or null where there is none that this package knows (Windows).
 *
 * The views it makes are private copy-on-write: writing to one never reaches the file. A mapping is undone when the
 * last view of it has been garbage collected and at no other time, so that no view can ever point at unmapped memory.
 * As with every mapping, a file that another process cuts short while it is mapped ends this process when a lost page is
 * touched: what is read again and again, or later, is better read with `readTensorBytes`, which throws instead.
 */
export function loadMemoryMap(): MapRegion | null {
  if (loaded === undefined) loaded = bindMemoryMap();
  return loaded;
}

function bindMemoryMap(): MapRegion | null {
  const platform = platforms[process.platform];
  if (platform === undefined) return null;
  for (const library of platform.libraries) {
    try {
      return mapWith(koffi.load(library), platform.noReserve);
    } catch {
      // Not this C library: the next name, and reading in place when there is none left.
    }
  }
  return null;
}

function mapWith(libc: ReturnType<typeof koffi.load>, noReserve: number): MapRegion {
  const mmap = libc.func(
    'void *mmap(void *address, size_t length, int protection, int flags, int descriptor, int64_t offset)',
  );
  const munmap = libc.func('int munmap(void *address, size_t length)');
  const pageSize: unknown = libc.func('int getpagesize()')();
  if (typeof pageSize !== 'number' || pageSize <= 0) throw new TypeError('getpagesize() gave no size');

  const mappings = new FinalizationRegistry<{ address: unknown; length: number }>(({ address, length }) => {
    munmap(address, length);
  });

  return (fileDescriptor, offset, length) => {
    const slack = offset % pageSize;
    const mapped = length + slack;
    const flags = MAP_PRIVATE | noReserve;
    const address: unknown = mmap(null, mapped, PROT_READ | PROT_WRITE, flags, fileDescriptor, offset - slack);
    if (koffi.address(address) === 0xffff_ffff_ffff_ffffn) return null;
    let buffer: ArrayBuffer;
    try {
      buffer = koffi.view(address, mapped);
    } catch {
      munmap(address, mapped);
      return null;
    }
    // A transferred buffer would live on in another thread after this one's handle is collected.
    markAsUntransferable(buffer);
    mappings.register(buffer, { address, length: mapped });
    return new Uint8Array(buffer, slack, length);
  };
}
