/**
 * The command that brings a missing library to where this package looks for it.
 */

import { resolve } from 'node:path';

/**
 * An npm command for the project, the global folder or npx's cache that a file of this package is installed in: run
 * elsewhere without `--prefix`, it would put the library where nobody looks for it. Install scripts are left out: they
 * download what is not used.
 *
 * @param library such as `onnxruntime-node@1.30.0`
 * @param file a file of this package
 * @param here where the person is
 */
export function installCommand(library: string, file: string, here = process.cwd()): string {
  const place = file.search(/[/\\]node_modules[/\\]/);
  const prefix = place === -1 || resolve(file.slice(0, place)) === resolve(here) ? '' : file.slice(0, place);
  const option = prefix === '' ? '' : `--prefix ${/\s/.test(prefix) ? `"${prefix}"` : prefix} `;
  return `npm install --no-save --ignore-scripts ${option}${library}`;
}
