/** Code objects that a package ships: an offload bundle, and a manifest that says which kernels are in it. */

import { readFileSync } from 'node:fs';
import { unpackBundle } from './fat-bundle.ts';
import type { PrebuiltLookup } from './kernel-library.ts';

/** What a lookup reads of a manifest.json; a package writes more into its own. */
export interface PrebuiltIndex {
  readonly bundle: { readonly file: string };
  readonly architectures: readonly {
    readonly architecture: string;
    readonly kernels: readonly { readonly symbol: string }[];
  }[];
}

/**
 * Looks kernels up in a folder with a manifest.json and the bundle that it names. Both are read at the first question.
 *
 * @param folder ends with a slash
 */
export function prebuiltLookup(folder: URL): PrebuiltLookup {
  let loaded: ReturnType<typeof loadPrebuilt> | null = null;
  return (architecture, symbol) => {
    loaded ??= loadPrebuilt(folder);
    if (loaded.symbols.get(architecture)?.has(symbol) !== true) return null;
    return loaded.objects.get(architecture) ?? null;
  };
}

function loadPrebuilt(folder: URL): {
  readonly objects: ReadonlyMap<string, Uint8Array>;
  readonly symbols: ReadonlyMap<string, ReadonlySet<string>>;
} {
  const manifest: PrebuiltIndex = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
  const objects = unpackBundle(readFileSync(new URL(manifest.bundle.file, folder)));
  const symbols = new Map(
    manifest.architectures.map(({ architecture, kernels }) => [architecture, new Set(kernels.map((k) => k.symbol))]),
  );
  return { objects, symbols };
}
