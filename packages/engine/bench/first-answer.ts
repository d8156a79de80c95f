/**
 * How long a person waits for the first answer: `npx @switchyard/engine generate "What is a lighthouse?"` in an empty
 * folder, with npm's cache warm and nothing installed. Ends with exit code 1 where the answer is wrong or the median is
 * over the target.
 *
 *   node --import=tsx/esm bench/first-answer.ts [--runs 5] [--json] [--out FILE]
 *   node --import=tsx/esm bench/first-answer.ts --quick     one run; no target is held
 *
 * The packages are packed as npm's registry would have them and served on loopback; what they depend on comes from
 * npm's registry, in the run that warms the cache.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { ScopedRegistry } from './scoped-registry.ts';
import { writeReport } from './write-report.ts';

/** What the first answer has to reach, in seconds. */
const LONGEST_SECONDS = 20;
const ANSWER = /a tower with a light that gives warning of shoals to passing ships\./;
const WORDS = ['--yes', '@switchyard/engine', 'generate', 'What is a lighthouse?'];
/** What npm's own scripts leave in the environment and a terminal does not have. */
const NOT_INHERITED = /^(npm_|INIT_CWD$|SWITCHYARD_)/i;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const WINDOWS = process.platform === 'win32';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

/** Runs a command and gives what it printed. */
async function output(folder: string, env: NodeJS.ProcessEnv, command: string, words: readonly string[]) {
  const quoted = WINDOWS ? words.map((word) => JSON.stringify(word)) : words;
  const child = spawn(command, quoted, { cwd: folder, env, shell: WINDOWS, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (printed += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, printed };
}

async function main(): Promise<number> {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_INHERITED.test(name)));
  const benchmark = new Benchmark({
    name: 'first-answer',
    manifest: new URL('../package.json', import.meta.url),
    settings: { command: `npx ${WORDS.join(' ')}` },
  });
  const home = await mkdtemp(join(tmpdir(), 'switchyard-first-answer-'));
  try {
    const tarballs = join(home, 'packed');
    const packed = await output(ROOT, inherited, process.execPath, ['scripts/run.mjs', 'pack', tarballs]);
    if (packed.code !== 0) throw new Error(`The packages could not be packed: ${packed.printed}`);
    const files = (await readdir(tarballs)).filter((name) => name.endsWith('.tgz'));
    await using registry = await ScopedRegistry.open(files.map((name) => join(tarballs, name)));
    const cache = join(home, 'cache');
    const env = { ...inherited, ...registry.environment, npm_config_cache: cache };
    benchmark.addVersion('npm', (await output(home, env, 'npm', ['--version'])).printed.trim());

    let folders = 0;
    const answer = async (): Promise<{ readonly seconds: number; readonly problems: readonly string[] }> => {
      // Where npx keeps what it has installed: without it every run installs anew, out of the cache.
      await rm(join(cache, '_npx'), { recursive: true, force: true });
      const folder = join(home, `empty-${folders++}`);
      await mkdir(folder);
      const started = performance.now();
      const { code, printed } = await output(folder, env, 'npx', WORDS);
      const seconds = (performance.now() - started) / 1000;
      const right = code === 0 && ANSWER.test(printed);
      return { seconds, problems: right ? [] : [`exit code ${code}: ${printed.slice(-1000)}`] };
    };
    const check = await benchmark.check('npx', 'the embedded model says what a lighthouse is', async () => {
      return (await answer()).problems;
    });
    const runs = values.quick ? 1 : Number(values.runs);
    const series = await benchmark.measure({
      name: 'from an empty folder to the answer',
      unit: 's',
      better: 'lower',
      parameters: { 'npm cache': 'warm' },
      rounds: runs,
      warmUpRounds: 0,
      contenders: [
        {
          name: 'npx',
          check,
          sample: async () => {
            const { seconds, problems } = await answer();
            if (problems.length > 0) throw new Error(problems.join('; '));
            return seconds;
          },
        },
      ],
    });
    const code = await writeReport(benchmark, values);
    const slow = !values.quick && series.some(({ median }) => median > LONGEST_SECONDS);
    if (slow) process.stderr.write(`over the target of ${LONGEST_SECONDS} s\n`);
    return slow ? 1 : code;
  } finally {
    await rm(home, { recursive: true, force: true, maxRetries: 3 });
  }
}

process.exitCode = await main();
