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
import type * as WebXGrammar from '@mlc-ai/web-xgrammar';

/** One instance of the library, with a WebAssembly memory of its own. */
export interface XGrammar {
  readonly api: typeof WebXGrammar;
  /** What the library last had to say, without the place in its sources; empty where it was silent. */
  complaint(): string;
}

/** `[FATAL] /path/file.cc:12: message`. */
const SOURCE_PLACE = /^\[\w+\] \S+:\d+: /;

/**
 * A new instance, which takes some 10 MB. A schema that the library refuses aborts its WebAssembly instance, so that
 * there has to be another one afterwards.
 */
export function loadXGrammar(): XGrammar {
  const path = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const module = { exports: {} as XGrammar['api'] };
  let complaint = '';
  const listen = (text: unknown): void => {
    if (SOURCE_PLACE.test(String(text))) complaint = String(text).replace(SOURCE_PLACE, '');
  };
  // The library writes to the console; the engine is silent.
  const console = { log: listen, info: listen, warn: listen, error: listen };
  const parameters = ['exports', 'require', 'module', '__filename', '__dirname', 'console'];
  // Not vm.compileFunction: the file calls import(), which vm allows behind an experimental flag only.
  const evaluate = new Function(...parameters, readFileSync(path, 'utf8'));
  evaluate.call(module.exports, module.exports, createRequire(path), module, path, dirname(path), console);
  return { api: module.exports, complaint: () => complaint };
}
