/** Packs every package as npm's registry would have it, the container's first step. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ROOT, StepFailed, must } from './commands.mjs';
import { PACKAGES } from './packages.mjs';
import { PNPM, setUp } from './set-up.mjs';

const HOOKS = join(ROOT, 'scripts', 'packing-hooks.mjs');

/** @returns {Promise<number>} the exit code */
export async function pack([folder, ...rest]) {
  if (folder === undefined || rest.length > 0)
    throw new StepFailed('Name the folder for the packages, and nothing else.');
  await setUp();
  const destination = resolve(folder);
  await mkdir(destination, { recursive: true });
  for (const name of PACKAGES) {
    // Only pnpm puts versions in the place of workspace:*.
    await must(
      `Packing ${name}`,
      'The errors are above.',
      'npx',
      ['-y', PNPM, `--config.pnpmfile=${HOOKS}`, 'pack', '--pack-destination', destination],
      { cwd: join(ROOT, 'packages', name), quiet: true },
    );
  }
  return 0;
}
