/** Code objects that a package ships: an offload bundle, and a manifest that says which kernels are in it. */

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { genericTargetOf, withoutFeatures } from '../driver/architectures.ts';
import { bundleEntries } from './fat-bundle.ts';
import type { BundleEntry } from './fat-bundle.ts';
import type { PrebuiltLookup } from './kernel-library.ts';

/** What a lookup reads of a manifest.json; a package writes more into its own. */
export interface PrebuiltIndex {
  readonly bundle: { readonly file: string };
  readonly architectures: readonly {
    /** Of a GPU, or one of LLVM's generic processors. */
    readonly architecture: string;
    readonly kernels: readonly { readonly symbol: string }[];
  }[];
}

/**
 * Looks kernels up in a folder with a manifest.json and the bundle that it names. Objects for the GPU's own architecture
 * come before those for the generic processor that it belongs to; settings such as `:xnack-` do not matter. The manifest
 * is read at the first question, and of the bundle what is asked for; the same object is answered each time.
 *
 * @param folder ends with a slash
 */
export function prebuiltLookup(folder: URL): PrebuiltLookup {
  let bundle: ReturnType<typeof openBundle> | null = null;
  const objects = new Map<string, Uint8Array>();
  return (architecture, symbol) => {
    bundle ??= openBundle(folder);
    const { file, entries, symbols } = bundle;
    const own = withoutFeatures(architecture);
    const holder = [own, genericTargetOf(own)].find((one) => one !== null && symbols.get(one)?.has(symbol) === true);
    const entry = entries.get(holder ?? '');
    if (holder === undefined || holder === null || entry === undefined) return null;
    const object = objects.get(holder) ?? readPart(file, entry);
    objects.set(holder, object);
    return object;
  };
}

/** More than the list of any bundle's objects takes. */
const HEAD_BYTES = 65_536;

function openBundle(folder: URL): {
  readonly file: URL;
  readonly entries: ReadonlyMap<string, BundleEntry>;
  readonly symbols: ReadonlyMap<string, ReadonlySet<string>>;
} {
  const manifest: PrebuiltIndex = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
  const file = new URL(manifest.bundle.file, folder);
  const symbols = new Map(
    manifest.architectures.map(({ architecture, kernels }) => [architecture, new Set(kernels.map((k) => k.symbol))]),
  );
  return { file, entries: bundleEntries(readPart(file, { offset: 0, size: HEAD_BYTES })), symbols };
}

/** The bytes of a part of a file; fewer where the file ends before. */
function readPart(file: URL, { offset, size }: BundleEntry): Uint8Array {
  const bytes = new Uint8Array(size);
  const descriptor = openSync(file, 'r');
  try {
    return bytes.subarray(0, readSync(descriptor, bytes, 0, size, offset));
  } finally {
    closeSync(descriptor);
  }
}
