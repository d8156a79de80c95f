/** Writes the API reference of all packages to docs/api. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../commands.mjs';

const FOLDER = dirname(fileURLToPath(import.meta.url));

/** @returns {Promise<number>} the exit code */
export async function writeReference() {
  const manifest = createRequire(import.meta.url).resolve('typedoc/package.json');
  const { code } = await run(process.execPath, [join(dirname(manifest), 'bin', 'typedoc')], { cwd: FOLDER });
  return code;
}
