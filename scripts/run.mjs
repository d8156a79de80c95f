#!/usr/bin/env node
/** What `npm start`, `npm test` and the other one-word scripts of the root do, set-up included. */
import { join } from 'node:path';
import { CHECKS } from './checks.mjs';
import { ROOT, StepFailed, run } from './commands.mjs';
import { buildKernels } from './kernels.mjs';
import { pack } from './pack.mjs';
import { writeReference } from './reference/write-reference.mjs';
import { setUp } from './set-up.mjs';

/** Runs a file of a package, set up first. */
const runFile =
  (cwd, ...file) =>
  async (args) => {
    await setUp();
    const { code } = await run(process.execPath, [...file, ...args], { cwd: join(ROOT, cwd) });
    return code;
  };

const JOBS = {
  start: runFile('.', 'examples/gpt-oss-pipeline/dist/main.js'),
  kernels: buildKernels,
  pack,
  bench: runFile('packages/engine', '--import=tsx', 'bench/run.ts'),
  docs: async (args) => {
    const code = await runFile('packages/engine', '--import=tsx', 'src/cli/write-docs.ts')(args);
    return code === 0 ? writeReference() : code;
  },
  check: async () => {
    await setUp();
    for (const { name, run } of CHECKS) {
      process.stderr.write(`${name}\n`);
      await run();
    }
    return 0;
  },
  test: async (args) => {
    await setUp();
    // Not before: it stands on packages that a fresh clone has not.
    const { runTests } = await import('./test/run-tests.mjs');
    return runTests(args);
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
