#!/usr/bin/env node
/**
 * What `npm start`, `npm test` and the other one-word scripts of the root do, set-up included: packages are installed
 * and built when they are not, or no longer, up to date.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PNPM = 'pnpm@12.21.0';
const OLDEST_NODE = [20, 19];
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGES = ['gpu', 'router-kernel', 'models', 'engine'];
const WINDOWS = process.platform === 'win32';

/** A failure whose message is all that a person needs. */
class StepFailed extends Error {}

/** Runs a command in the foreground; resolves with its exit code, and with its output where `capture` asks for it. */
function run(command, args, { cwd = ROOT, capture = false, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = capture || quiet ? ['ignore', 'pipe', quiet ? 'pipe' : 'inherit'] : 'inherit';
    const child = spawn(command, args, { cwd, stdio, shell: WINDOWS });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
        if (!quiet) process.stdout.write(chunk);
      });
    }
    child.once('error', (error) => reject(new StepFailed(`${command} could not be started: ${error.message}`)));
    child.once('close', (code, signal) => resolve({ code: code ?? 1, signal, output }));
  });
}

async function must(what, advice, command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code === 0) return;
  if (options?.quiet === true) process.stderr.write(output);
  throw new StepFailed(`${what} failed (exit code ${code}). ${advice}`);
}

const bin = (name) => join(ROOT, 'node_modules', '.bin', WINDOWS ? `${name}.cmd` : name);

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

async function build() {
  await must('Building', 'The errors are above.', bin('tsc'), ['-b'], { quiet: true });
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

async function setUp() {
  checkNode();
  await install();
  await build();
  await linkCommands();
}

async function check() {
  process.stderr.write('Format, lint, types, package manifests\n');
  await must('The format check', 'Run npm run fix.', bin('biome'), ['format', '.'], { quiet: true });
  await must('The lint', 'The findings are above.', bin('oxlint'), ['--type-aware', '--deny-warnings', '.'], {
    quiet: true,
  });
  for (const name of PACKAGES) {
    const cwd = join(ROOT, 'packages', name);
    await must(`Type-checking ${name}`, 'The errors are above.', bin('tsc'), ['-p', 'tsconfig.test.json'], {
      cwd,
      quiet: true,
    });
    await must(`publint of ${name}`, 'The findings are above.', bin('publint'), ['--pack', 'npm'], {
      cwd,
      quiet: true,
    });
  }
  await must('Type-checking the browser example', 'The errors are above.', bin('tsc'), ['-p', 'tsconfig.json'], {
    cwd: join(ROOT, 'examples', 'browser-router'),
    quiet: true,
  });
}

/** Adds up "12 passing", "1 failing", "2 pending" of mocha's reports. */
function countTests(output) {
  const count = (word) =>
    [...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}\\b`, 'gm'))].reduce(
      (sum, [, number]) => sum + Number(number),
      0,
    );
  return { passed: count('passing'), failed: count('failing'), skipped: count('pending') };
}

async function test(args) {
  await setUp();
  await check();
  const total = { passed: 0, failed: 0, skipped: 0 };
  let broken = false;
  for (const name of PACKAGES) {
    process.stdout.write(`\n@switchyard/${name}\n`);
    const { code, output } = await run(bin('mocha'), ['--no-color', ...args], {
      cwd: join(ROOT, 'packages', name),
      capture: true,
    });
    const counted = countTests(output);
    for (const key of Object.keys(total)) total[key] += counted[key];
    if (code !== 0) broken = true;
    // Mocha that dies, or finds no test, must not pass for a run without failures.
    if (code !== 0 && counted.failed === 0) total.failed += 1;
    if (counted.passed === 0 && args.length === 0) broken = true;
  }
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  return broken ? 1 : 0;
}

async function start(args) {
  await setUp();
  const { code } = await run(process.execPath, [join(ROOT, 'examples/gpt-oss-pipeline/dist/main.js'), ...args]);
  return code;
}

async function bench(args) {
  await setUp();
  const { code } = await run(process.execPath, ['--import=tsx', 'bench/run.ts', ...args], {
    cwd: join(ROOT, 'packages/engine'),
  });
  return code;
}

async function docs() {
  await setUp();
  const { code } = await run(process.execPath, ['--import=tsx', 'src/cli/write-docs.ts'], {
    cwd: join(ROOT, 'packages/engine'),
  });
  return code;
}

const JOBS = {
  start,
  test,
  bench,
  docs,
  check: async () => {
    await setUp();
    await check();
    return 0;
  },
};

const [job = '', ...args] = process.argv.slice(2);
try {
  if (!(job in JOBS)) throw new StepFailed(`There is no job ${job}: choose one of ${Object.keys(JOBS).join(', ')}.`);
  process.exitCode = await JOBS[job](args);
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
