/**
 * Clang's offload bundle, uncompressed: one file with a code object for each architecture, which the HIP runtime loads
 * as it is. Layout: the magic string; u64 entry count; for each entry u64 offset, u64 size, u64 length of the id, the
 * id; then the objects, 4 KiB aligned. The first entry stands for the host and is empty.
 */

const MAGIC = '__CLANG_OFFLOAD_BUNDLE__';
const HOST_ID = 'host-x86_64-unknown-linux--';
const ID_PREFIX = 'hipv4-amdgcn-amd-amdhsa--';
const ALIGNMENT = 4096;

/** Packs code objects, in the order given. */
export function packBundle(objects: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entries: { readonly id: string; readonly object: Uint8Array }[] = [{ id: HOST_ID, object: new Uint8Array(0) }];
  for (const [architecture, object] of objects) entries.push({ id: ID_PREFIX + architecture, object });
  const headerBytes = MAGIC.length + 8 + entries.reduce((sum, { id }) => sum + 24 + id.length, 0);
  let end = Math.ceil(headerBytes / ALIGNMENT) * ALIGNMENT;
  const offsets = entries.map(({ object }) => {
    const offset = end;
    end = Math.ceil((offset + object.length) / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  const bundle = Buffer.alloc(end);
  let at = bundle.write(MAGIC, 'latin1');
  at = bundle.writeBigUInt64LE(BigInt(entries.length), at);
  for (const [index, { id, object }] of entries.entries()) {
    const offset = offsets[index] ?? 0;
    at = bundle.writeBigUInt64LE(BigInt(offset), at);
    at = bundle.writeBigUInt64LE(BigInt(object.length), at);
    at = bundle.writeBigUInt64LE(BigInt(id.length), at);
    at += bundle.write(id, at, 'latin1');
    bundle.set(object, offset);
  }
  return bundle;
}

/** Where an object lies in a bundle, in bytes. */
export interface BundleEntry {
  readonly offset: number;
  readonly size: number;
}

/**
 * The objects of a bundle by architecture.
 *
 * @param head the bundle, or as much of its beginning as holds every entry
 * @throws RangeError where the bytes are no bundle, or too few
 */
export function bundleEntries(head: Uint8Array): Map<string, BundleEntry> {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new RangeError('This is no offload bundle: it does not start with its magic string.');
  }
  const entries = new Map<string, BundleEntry>();
  let at = MAGIC.length + 8;
  for (let left = bytes.readBigUInt64LE(MAGIC.length); left > 0n; left--) {
    const offset = Number(bytes.readBigUInt64LE(at));
    const size = Number(bytes.readBigUInt64LE(at + 8));
    const end = at + 24 + Number(bytes.readBigUInt64LE(at + 16));
    if (end > bytes.length) throw new RangeError('The list of objects of this offload bundle is cut off.');
    const id = bytes.toString('latin1', at + 24, end);
    at = end;
    if (id.startsWith(ID_PREFIX)) entries.set(id.slice(ID_PREFIX.length), { offset, size });
  }
  return entries;
}

/** The code objects of a bundle by architecture. @throws RangeError where the bytes are no bundle */
export function unpackBundle(bytes: Uint8Array): Map<string, Uint8Array> {
  const objects = [...bundleEntries(bytes)].map(
    ([architecture, { offset, size }]) => [architecture, bytes.subarray(offset, offset + size)] as const,
  );
  return new Map(objects);
}
