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

/** The code objects of a bundle by architecture. @throws RangeError where the bytes are no bundle */
export function unpackBundle(bytes: Uint8Array): Map<string, Uint8Array> {
  const bundle = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bundle.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new RangeError('This is no offload bundle: it does not start with its magic string.');
  }
  const objects = new Map<string, Uint8Array>();
  let at = MAGIC.length + 8;
  for (let left = bundle.readBigUInt64LE(MAGIC.length); left > 0n; left--) {
    const offset = Number(bundle.readBigUInt64LE(at));
    const size = Number(bundle.readBigUInt64LE(at + 8));
    const idLength = Number(bundle.readBigUInt64LE(at + 16));
    const id = bundle.toString('latin1', at + 24, at + 24 + idLength);
    at += 24 + idLength;
    if (id.startsWith(ID_PREFIX)) objects.set(id.slice(ID_PREFIX.length), bundle.subarray(offset, offset + size));
  }
  return objects;
}
