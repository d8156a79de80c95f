/**
 * How the page keeps up with long answers: 10,000 tokens of Markdown of several shapes, streamed to the page in Chromium,
 * and the longest time from one animation frame to the next while they come. Ends with exit code 1 where a frame of
 * the page took longer than the target.
 *
 *   node --import=tsx/esm bench/page-stream.ts [--tokens 10000] [--rate 1000] [--json] [--out FILE]
 *   node --import=tsx/esm bench/page-stream.ts --quick     few tokens; no target is held
 *
 * The server of the answers is a child of this process, so that Chromium and the writing of tokens share no event loop.
 * Frames of the same page at rest are measured too: what the machine itself does to them. So is the processor time of the
 * page's own thread, task by task, which neighbours on the machine do not lengthen.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import chromium from '@sparticuz/chromium';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { type Browser, type Page, chromium as playwright } from 'playwright-core';
import { SHAPES, textOf, type Shape } from './page-answers.ts';
import { writeReport } from './write-report.ts';

const REST_MS = 3000;
/** What a browser does once, such as its first drawing, is over by then. */
const SETTLE_MS = 1000;
/** What the page has to reach, in milliseconds. */
const LONGEST_FRAME_MS = 100;

/** Counts frames from now on. */
const COUNT_FRAMES = `(() => {
  globalThis.frames_ = [];
  let last = performance.now();
  const next = (now) => {
    globalThis.frames_.push(now - last);
    last = now;
    globalThis.frame_ = requestAnimationFrame(next);
  };
  globalThis.frame_ = requestAnimationFrame((now) => { last = now; globalThis.frame_ = requestAnimationFrame(next); });
})()`;
const TAKE_FRAMES = `(() => { cancelAnimationFrame(globalThis.frame_); return globalThis.frames_; })()`;

/** What Chromium calls the thread of the page, as a process of its own and as a thread among others. */
const PAGE_THREADS = ['CrRendererMain', 'Chrome_InProcRendererThread'];

/** An event of Chromium's trace. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds of processor time. */
  readonly tdur?: number;
  readonly args: { readonly name?: string };
}

/** Milliseconds of processor time that each task of the page's thread took. */
function tasksOf(trace: Buffer): number[] {
  const { traceEvents } = JSON.parse(trace.toString('utf8')) as { readonly traceEvents: readonly TraceEvent[] };
  const threadOf = ({ pid, tid }: TraceEvent): string => `${pid} ${tid}`;
  const named = traceEvents.filter(
    ({ name, args }) => name === 'thread_name' && PAGE_THREADS.includes(args.name ?? ''),
  );
  const threads = new Set(named.map(threadOf));
  return traceEvents.flatMap((event) =>
    event.name === 'RunTask' && threads.has(threadOf(event)) && event.tdur !== undefined ? [event.tdur / 1000] : [],
  );
}

interface Run {
  readonly frames: readonly number[];
  readonly tasks: readonly number[];
  readonly seconds: number;
  readonly problems: readonly string[];
}

async function restingFrames(page: Page): Promise<number[]> {
  await page.evaluate(COUNT_FRAMES);
  await page.waitForTimeout(REST_MS);
  return await page.evaluate<number[]>(TAKE_FRAMES);
}

/** Has an answer of a shape streamed to a page that was just opened. */
async function streamTo(browser: Browser, url: string, shape: Shape, tokens: number): Promise<Run> {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: true })).newPage();
  await page.goto(url);
  await page.getByText('ready', { exact: true }).waitFor();
  await page.waitForTimeout(SETTLE_MS);
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline'] });
  await page.evaluate(COUNT_FRAMES);
  const start = performance.now();
  await page.getByLabel('your message', { exact: true }).fill(shape);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.locator('article[data-role=model][data-done=true]').waitFor({ timeout: 300_000 });
  const seconds = (performance.now() - start) / 1000;
  const frames = await page.evaluate<number[]>(TAKE_FRAMES);
  const tasks = tasksOf(await browser.stopTracing());
  const problems = await page.evaluate<string[]>(`(async () => {
    const { blocksOf, nodesOf } = await import('/page/markdown.mjs');
    const whole = document.createElement('div');
    whole.append(nodesOf(blocksOf(${JSON.stringify(textOf(shape, tokens))})));
    const shown = document.querySelector('article[data-role=model] .body');
    return whole.textContent === shown.textContent ? [] : ['what is shown is not the answer as a whole'];
  })()`);
  // The page is left, not closed: Chromium as one process ends with the first that is closed.
  await page.goto('about:blank');
  return { frames, tasks, seconds, problems };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tokens: { type: 'string' },
      rate: { type: 'string', default: '1000' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  });
  const tokens = Number(values.tokens ?? (values.quick ? 300 : 10_000));
  const rate = Number(values.rate);
  const benchmark = new Benchmark({
    name: 'page-stream',
    manifest: new URL('../package.json', import.meta.url),
    packages: ['@sparticuz/chromium', 'playwright-core', 'marked', 'dompurify'],
    settings: { quick: values.quick, tokens, rate },
  });
  const child = fork(new URL('./page-stream-server.ts', import.meta.url), [String(tokens), String(rate)], {
    execArgv: ['--import=tsx/esm'],
  });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  const executablePath = await chromium.executablePath();
  const browser = await playwright.launch({ executablePath, args: [...chromium.args, '--no-sandbox'], headless: true });
  const missed: string[] = [];
  try {
    for (const shape of SHAPES) {
      const run = await streamTo(browser, url, shape, tokens);
      const check = await benchmark.check(
        shape,
        'what is shown with the answer rendered as a whole',
        () => run.problems,
      );
      if (check === null) continue;
      const keep = (name: string, unit: string, samples: readonly number[]): number =>
        benchmark.record({ name, contender: shape, unit, better: 'lower', samples, check }).max;
      const longest = keep('frames while an answer comes', 'ms', run.frames);
      keep("processor time of the page's tasks", 'ms', run.tasks);
      keep('time of the whole answer', 's', [run.seconds]);
      if (longest > LONGEST_FRAME_MS) missed.push(`a frame of ${shape} took ${longest.toFixed(0)} ms`);
      if (shape !== SHAPES[0]) continue;
      const page = await browser.newPage();
      await page.goto(url);
      benchmark.record({
        name: 'frames while an answer comes',
        contender: 'the page at rest',
        unit: 'ms',
        better: 'lower',
        samples: await restingFrames(page),
        check,
      });
    }
  } finally {
    child.kill('SIGTERM');
    await browser.close();
  }
  if (!values.quick) for (const text of missed) benchmark.note(`MISSED: ${text}`);
  process.exitCode = await writeReport(benchmark, values);
  if (!values.quick && missed.length > 0) process.exitCode = 1;
}

await main();
