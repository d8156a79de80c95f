/**
 * `npm test`: the checks and every package's tests, as many files side by side as there are processors, and one more.
 *
 *   npm test                      what is quick
 *   npm test -- --full            files named *.full.test.ts too, and the long form of those that have one
 *   npm test -- --slow            files named *.slow.test.ts as well: nothing is left out, and it takes an hour
 *   npm test -- server/chat sse   files whose path has one of the words
 *   npm test -- --grep "a title"  tests by their title
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { usableProcessors } from '../../packages/gpu/dist/environment.js';
import { CHECKS } from '../checks.mjs';
import { ROOT, StepFailed } from '../commands.mjs';
import { PACKAGES } from '../packages.mjs';
import { buildTests } from './build-tests.mjs';
import { keptKernels } from './kept-kernels.mjs';
import { TestFile } from './test-file.mjs';
import { TestProcesses } from './test-processes.mjs';

/** Tests ask this variable how much to do. */
const LEVEL_VARIABLE = 'SWITCHYARD_TEST_LEVEL';
/** Endings of the files that a level leaves out. */
const LEFT_OUT = {
  quick: ['.full.test.ts', '.slow.test.ts'],
  full: ['.slow.test.ts'],
  slow: [],
};
/** How long each file took here, so that the longest begin first. */
const TIMES = join(ROOT, 'node_modules', '.cache', 'switchyard-test-times.json');
const HEARTBEAT_MS = 20_000;

/** @returns {Promise<number>} the exit code */
export async function runTests(args) {
  const { values, positionals } = readArguments(args);
  const level = values.slow ? 'slow' : values.full ? 'full' : 'quick';
  const times = await readTimes();
  const files = await findFiles(level, positionals);
  if (files.length === 0) throw new StepFailed(`No file of tests has ${positionals.join(' or ')} in its path.`);
  const lastTime = ({ name }) => times[name] ?? Number.MAX_SAFE_INTEGER;
  files.sort((a, b) => lastTime(b) - lastTime(a));
  await buildTests();
  const checks = positionals.length === 0 && values.grep === undefined ? CHECKS : [];
  // One more than there are processors: some tests wait most of their time.
  const jobs = usableProcessors().threads + 1;
  const what = `${checks.length} checks and ${files.length} files of tests`;
  process.stdout.write(`${what}, level ${level}, ${jobs} at a time\n`);

  const board = new Board(checks.length + files.length);
  const processes = new TestProcesses(jobs, values.grep);
  const queue = [
    ...checks.map((check) => () => runCheck(check, board)),
    ...files.map((file) => () => runFile(file, processes, board)),
  ];
  const heartbeat = setInterval(() => board.beat(), HEARTBEAT_MS);
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next();
    }),
  );
  clearInterval(heartbeat);
  const faults = await processes.close();
  await writeTimes({ ...times, ...Object.fromEntries(files.map(({ name, time }) => [name, Math.round(time)])) });
  return board.close(files, faults, values.grep !== undefined);
}

function readArguments(args) {
  try {
    return parseArgs({
      args,
      options: {
        full: { type: 'boolean', default: false },
        slow: { type: 'boolean', default: false },
        grep: { type: 'string', short: 'g' },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw new StepFailed(`${error.message} Known are --full, --slow, --grep TITLE, and words of paths.`);
  }
}

async function findFiles(level, words) {
  // What has a long form has it at both of the long levels.
  const env = {
    ...process.env,
    ...(await keptKernels()),
    [LEVEL_VARIABLE]: level === 'quick' ? 'quick' : 'full',
  };
  const files = [];
  for (const name of PACKAGES) {
    const folder = join(ROOT, 'packages', name, 'test');
    for (const entry of await readdir(folder, { recursive: true })) {
      const wanted = entry.endsWith('.test.ts') && LEFT_OUT[level].every((ending) => !entry.endsWith(ending));
      if (wanted) files.push(new TestFile(name, join(folder, entry), env));
    }
  }
  return words.length === 0 ? files : files.filter(({ path }) => words.some((word) => path.includes(word)));
}

async function runCheck(check, board) {
  const started = performance.now();
  const failure = await check.run().then(
    () => null,
    (error) => {
      if (!(error instanceof StepFailed)) throw error;
      return error.message;
    },
  );
  board.checked(check.name, performance.now() - started, failure);
}

async function runFile(file, processes, board) {
  board.begin(file);
  await processes.run(file);
  board.end(file);
}

/** What a person sees: a line for each file when it is done, and of those that run when nothing has been done for a while. */
class Board {
  #running = new Set();
  #failures = [];
  #done = 0;
  #quiet = false;

  constructor(total) {
    this.total = total;
  }

  begin(file) {
    this.#running.add(file);
  }

  end(file) {
    this.#running.delete(file);
    const { passed, failed, skipped } = file.counts;
    const parts = [
      [passed, 'passed'],
      [failed, 'failed'],
      [skipped, 'skipped'],
    ];
    this.#line(
      file.name,
      parts
        .filter(([count]) => count > 0)
        .map((part) => part.join(' '))
        .join(', '),
      file.time,
    );
    for (const reason of file.skipReasons) process.stdout.write(`${' '.repeat(10)}${reason}\n`);
    if (failed > 0) this.#fail(file.name, file.output);
  }

  checked(name, time, failure) {
    this.#line(`check: ${name}`, failure === null ? 'passed' : 'failed', time);
    if (failure !== null) this.#fail(`check: ${name}`, failure);
  }

  /** Says what is running where no line has come since the last beat. */
  beat() {
    if (this.#quiet) {
      for (const { name, current, time, counts } of this.#running) {
        const tests = counts.passed + counts.failed + counts.skipped;
        process.stdout.write(`          ${name}: ${tests} tests in ${seconds(time)}, now ${current}\n`);
      }
    }
    this.#quiet = true;
  }

  /** The end of the report; the exit code. */
  close(files, faults, mayBeEmpty) {
    this.#failures.push(...faults);
    const total = { passed: 0, failed: 0, skipped: 0 };
    for (const { counts } of files) for (const key of Object.keys(total)) total[key] += counts[key];
    const empty = files.filter(({ counts }) => counts.passed + counts.failed + counts.skipped === 0);
    if (!mayBeEmpty) for (const { name } of empty) this.#failures.push(`${name}: it has no test`);
    if (this.#failures.length > 0) process.stdout.write(`\nFailed:\n  ${this.#failures.join('\n  ')}\n`);
    process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
    return this.#failures.length === 0 && total.failed === 0 && total.passed > 0 ? 0 : 1;
  }

  #fail(name, output) {
    this.#failures.push(name);
    process.stdout.write(`${output.trimEnd()}\n\n`);
  }

  #line(name, outcome, time) {
    this.#quiet = false;
    const place = `[${String(++this.#done).padStart(String(this.total).length)}/${this.total}]`;
    process.stdout.write(`${place} ${name.padEnd(52)} ${outcome.padEnd(24)} ${seconds(time).padStart(7)}\n`);
  }
}

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

async function readTimes() {
  try {
    return JSON.parse(await readFile(TIMES, 'utf8'));
  } catch {
    return {};
  }
}

async function writeTimes(times) {
  await mkdir(dirname(TIMES), { recursive: true });
  await writeFile(TIMES, JSON.stringify(times));
}
