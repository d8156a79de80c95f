/** Sets a checkout up: packages are installed and built when they are not, or no longer, up to date. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WINDOWS, ROOT, StepFailed, bin, must } from './commands.mjs';

/** The package manager that the lockfile is for. */
export const PNPM = 'pnpm@12.21.0';
const OLDEST_NODE = [20, 19];

/** Checks Node, installs, builds, and makes the commands callable at the root. */
export async function setUp() {
  checkNode();
  await install();
  await must('Building', 'The errors are above.', bin('tsc'), ['-b'], { quiet: true });
  await linkCommands();
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new StepFailed(`Node ${process.versions.node} is too old: install ${OLDEST_NODE.join('.')} or newer.`);
}

/** Installs the locked packages unless the stamp says that it was done for this lockfile. */
async function install() {
  const lock = await readFile(join(ROOT, 'pnpm-lock.yaml'));
  const wanted = createHash('sha256').update(lock).digest('hex');
  const stamp = join(ROOT, 'node_modules', '.switchyard-installed');
  const found = await readFile(stamp, 'utf8').catch(() => '');
  if (found === wanted) return;
  process.stderr.write('Installing packages (once)\n');
  await must(
    'Installing packages',
    'npm has to reach its registry the first time: check the network or the npm configuration, then run this again.',
    'npx',
    ['-y', PNPM, 'install', '--frozen-lockfile'],
    { quiet: true },
  );
  await writeFile(stamp, wanted);
}

/** Makes `npx switchyard` and `npx router-kernel` work at the root, which depends on neither package. */
async function linkCommands() {
  const folder = join(ROOT, 'node_modules', '.bin');
  await mkdir(folder, { recursive: true });
  for (const [name, target] of [
    ['switchyard', 'packages/engine/bin/switchyard.mjs'],
    ['router-kernel', 'packages/router-kernel/bin/router-kernel.mjs'],
  ]) {
    if (WINDOWS) {
      await writeFile(join(folder, `${name}.cmd`), `@node "%~dp0\\..\\..\\${target.replaceAll('/', '\\')}" %*\r\n`);
    } else {
      const script = `#!/usr/bin/env node\nimport('../../${target}');\n`;
      await writeFile(join(folder, name), script);
      await chmod(join(folder, name), 0o755);
    }
  }
}
