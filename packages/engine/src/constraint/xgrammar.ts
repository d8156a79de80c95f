/**
 * Loads @mlc-ai/web-xgrammar, which says which tokens may continue a text so that it stays inside a grammar.
 *
 * The package ships a CommonJS file under `"type": "module"` (0.1.27), which Node can neither import nor require: it is
 * evaluated here as the body of a function with CommonJS's parameters.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

export type XGrammar = typeof import('@mlc-ai/web-xgrammar');

let loaded: XGrammar | null = null;

/** The library, loaded at first use: it takes some 10 MB. */
export function loadXGrammar(): XGrammar {
  if (loaded !== null) return loaded;
  const path = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const module = { exports: {} as XGrammar };
  // Not vm.compileFunction: the file calls import(), which vm allows behind an experimental flag only.
  const evaluate = new Function('exports', 'require', 'module', '__filename', '__dirname', readFileSync(path, 'utf8'));
  evaluate.call(module.exports, module.exports, createRequire(path), module, path, dirname(path));
  loaded = module.exports;
  return loaded;
}
