/**
 * The runner suite in a Node of its own, that of another processor. Tells of the runner and of every case in lines of JSON.
 *
 *   node emulated-suite-process.js '{ "sections": ["golden"], "library": { "file": ... } }'
 *
 * An emulated processor takes 11 ns for a multiplication: a row of the embedded model is 50 ms. Golden prompts are run as they
 * are. The other cases, which compare the runner with itself, take two of its layers, one of each kind, and shorter prompts
 * with a window that these are longer than.
 */

import { type Snapshot, openSnapshot } from '@switchyard/models';
import type { LibraryEntry } from '../../../src/runners/native/library.ts';
import { type RunnerSuiteOptions, runnerCases, runRunnerSuite } from '../../../src/runners/suite/index.ts';
import { NATIVE_SUITE, nativeSuiteRunner } from './native-suite.ts';

/** What the process is asked for. */
export interface EmulatedSuiteRequest {
  /** Defaults to all. */
  readonly sections?: readonly string[];
  /** Defaults to the library that is chosen for the processor. */
  readonly library?: LibraryEntry;
}

/** What it tells, a line each: the runner's name first, of every runner that it makes. */
export type EmulatedSuiteLine =
  | { readonly runner: string }
  | { readonly section: string; readonly name: string; readonly problem: string | null; readonly seconds: number };

const GOLDEN = 'golden';
const FEW_LAYERS = 2;
const SHORT_WINDOW = 16;
const SHORT_PROMPT = 20;
/** More than two windows, and more than a case leaves over of it. */
const LONGEST_PROMPT = 56;

const request = JSON.parse(process.argv[2] ?? '{}') as EmulatedSuiteRequest;
const isAsked = (section: string): boolean => request.sections?.includes(section) ?? true;
const say = (line: EmulatedSuiteLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const snapshot = await openSnapshot();
if (isAsked(GOLDEN)) await runCases(snapshot, NATIVE_SUITE, (section) => section === GOLDEN);
const golden = NATIVE_SUITE.golden.map((prompt, index) => ({
  ...prompt,
  ids: prompt.ids.slice(0, index === NATIVE_SUITE.golden.length - 1 ? LONGEST_PROMPT : SHORT_PROMPT),
}));
await runCases(small(snapshot), { ...NATIVE_SUITE, golden, window: SHORT_WINDOW }, (section) => section !== GOLDEN);
snapshot.dispose();

function small({ config, weights, ...snapshot }: Snapshot): Snapshot {
  const layerTypes = config.layerTypes.slice(0, FEW_LAYERS);
  return {
    ...snapshot,
    config: { ...config, layers: FEW_LAYERS, layerTypes, slidingWindow: SHORT_WINDOW },
    weights: { ...weights, layers: weights.layers.slice(0, FEW_LAYERS) },
  };
}

async function runCases(
  checkpoint: Snapshot,
  options: RunnerSuiteOptions,
  belongs: (section: string) => boolean,
): Promise<void> {
  const cases = runnerCases(options).filter(({ section }) => belongs(section) && isAsked(section));
  if (cases.length === 0) return;
  let since = performance.now();
  const create = async () => {
    const runner = await nativeSuiteRunner(checkpoint, request.library);
    say({ runner: runner.name });
    return runner;
  };
  await runRunnerSuite(create, {
    ...options,
    cases,
    onCase: ({ section, name, problem }) => {
      say({ section, name, problem, seconds: Math.round((performance.now() - since) / 100) / 10 });
      since = performance.now();
    },
  });
}
