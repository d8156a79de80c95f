/** Where tests keep the kernels that they compiled for an emulated GPU: the next run compiles what changed. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../commands.mjs';

const FOLDER = join(ROOT, 'node_modules', '.cache', 'switchyard-emulated-kernels');
const MOST_MS_UNUSED = 7 * 24 * 3600 * 1000;

/** Variables that tell the emulator; what was not used for a week is removed. @returns {Promise<NodeJS.ProcessEnv>} */
export async function keptKernels() {
  await mkdir(FOLDER, { recursive: true });
  for (const name of await readdir(FOLDER)) {
    const path = join(FOLDER, name);
    // Another run may remove it as well.
    const used = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    if (Date.now() - used > MOST_MS_UNUSED) await rm(path, { force: true });
  }
  return { SWITCHYARD_EMULATED_KERNELS: FOLDER };
}
