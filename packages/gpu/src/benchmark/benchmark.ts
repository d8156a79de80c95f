/**
 * What is behind every benchmark: answers are checked before they are timed, contenders take turns, and what comes out
 * has one form.
 */

import { UncheckedBenchmarkError } from '../errors.ts';
import { describeMachine } from './machine.ts';
import { commitOf, versionsOf } from './provenance.ts';
import { BENCHMARK_FORM } from './report.ts';
import type {
  BenchmarkCommit,
  BenchmarkMachine,
  BenchmarkReport,
  BenchmarkSeries,
  MeasuredGpu,
  ParameterValue,
} from './report.ts';
import { statisticsOf } from './statistics.ts';

/** What is measured. */
export interface BenchmarkDescription {
  /** Which benchmark, such as `'router-kernel bench --backend hip'`. */
  readonly name: string;
  /** The package.json of the package that is measured. */
  readonly manifest: URL;
  /** Packages whose versions matter beside it. Those that are not installed are left out. */
  readonly packages?: readonly string[];
  /** The GPU, where one is measured. */
  readonly gpu?: MeasuredGpu | null;
  /** What holds for all series. */
  readonly settings?: Readonly<Record<string, ParameterValue>>;
  /** The commit, where it is known otherwise than from git. */
  readonly commit?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer that was found right: what lets its time be measured. */
export interface BenchmarkCheck {
  readonly what: string;
}

/** One of those that are measured beside each other. */
export interface BenchmarkContender {
  readonly name: string;
  /** What `check` gave; a contender whose answers were wrong (null) is left out. */
  readonly check: BenchmarkCheck | null;
  /** Takes a turn: one sample or several, in the measurement's unit. `round` counts from 0; warm-up turns are below. */
  readonly sample: (round: number) => number | readonly number[] | Promise<number | readonly number[]>;
  readonly facts?: Readonly<Record<string, number>>;
}

/** Contenders on one problem. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  readonly parameters?: Readonly<Record<string, ParameterValue>>;
  /** The one that others are compared with comes first. */
  readonly contenders: readonly BenchmarkContender[];
  /** Turns of each contender that count; 1 or more. */
  readonly rounds: number;
  /** Turns before them that do not. Defaults to 1. */
  readonly warmUpRounds?: number;
  /** More rounds follow until so much time has passed. Defaults to 0. */
  readonly atLeastMilliseconds?: number;
}

/** Samples that were taken otherwise than in turns. */
export interface RecordedSeries {
  readonly name: string;
  readonly contender: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  readonly parameters?: Readonly<Record<string, ParameterValue>>;
  readonly check: BenchmarkCheck | null;
  readonly samples: readonly number[];
  readonly facts?: Readonly<Record<string, number>>;
  /** Keep the samples, since their order says something. Defaults to `false`. */
  readonly keepSamples?: boolean;
}

/** A run of a benchmark. Make it before the first measurement: it remembers how busy the machine was. */
export class Benchmark {
  readonly #description: BenchmarkDescription;
  readonly #machine: BenchmarkMachine;
  readonly #commit: BenchmarkCommit | null;
  readonly #passed = new WeakSet<BenchmarkCheck>();
  readonly #series: BenchmarkSeries[] = [];
  readonly #failures: string[] = [];
  readonly #notes: string[] = [];
  readonly #versions: Record<string, string> = {};

  constructor(description: BenchmarkDescription) {
    this.#description = description;
    this.#machine = describeMachine(description.gpu);
    // Before the measurements, so that a change made meanwhile does not pass for what was measured.
    this.#commit =
      description.commit === undefined ? commitOf(description.manifest) : { hash: description.commit, changed: null };
  }

  /** What was found wrong so far, in words. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  /**
   * Checks an answer.
   *
   * @param subject whose answer, for the failure's words
   * @param what what is compared with what
   * @param findProblems gives what is wrong, in words; nothing where all is right
   * @returns null where it is wrong, which is then one of the report's failures
   */
  async check(
    subject: string,
    what: string,
    findProblems: () => readonly string[] | Promise<readonly string[]>,
  ): Promise<BenchmarkCheck | null> {
    const problems = await findProblems();
    if (problems.length > 0) {
      this.#failures.push(`${subject}: ${problems.join('; ')}`);
      return null;
    }
    const check = Object.freeze({ what });
    this.#passed.add(check);
    return check;
  }

  /**
   * Measures contenders in turns: round by round, each once, in an order that turns round from one round to the next,
   * so that a machine that grows slower or faster meanwhile does so for all of them.
   *
   * @returns a series for each contender whose answers were right
   * @throws UncheckedBenchmarkError where a check is not one of this run's
   */
  async measure(measurement: Measurement): Promise<readonly BenchmarkSeries[]> {
    const { contenders, rounds, warmUpRounds = 1, atLeastMilliseconds = 0, ...about } = measurement;
    const turns = contenders
      .filter(({ check }) => check !== null)
      .map((contender) => ({ ...contender, check: this.#passedCheck(contender.check), samples: [] as number[] }));
    if (turns.length === 0) return [];
    let started = performance.now();
    for (let round = -warmUpRounds; round < rounds || performance.now() - started < atLeastMilliseconds; round++) {
      if (round === 0) started = performance.now();
      for (const { sample, samples } of round % 2 === 0 ? turns : turns.toReversed()) {
        this.#description.signal?.throwIfAborted();
        const taken = await sample(round);
        if (round >= 0) samples.push(...(typeof taken === 'number' ? [taken] : taken));
      }
    }
    return turns.map(({ name: contender, check, samples, facts }) =>
      this.record({ ...about, contender, check, samples, ...(facts && { facts }) }),
    );
  }

  /** Keeps samples that were taken otherwise. @throws UncheckedBenchmarkError, BenchmarkSampleError */
  record(recorded: RecordedSeries): BenchmarkSeries {
    const { name, contender, unit, better, parameters = {}, samples, facts, keepSamples = false } = recorded;
    const checked = this.#passedCheck(recorded.check).what;
    const series: BenchmarkSeries = {
      name,
      contender,
      unit,
      better,
      parameters,
      checked,
      ...statisticsOf(samples),
      ...(facts && { facts }),
      ...(keepSamples && { samples }),
    };
    this.#series.push(series);
    return series;
  }

  /** Keeps the version of what is no package, such as a compiler. */
  addVersion(name: string, version: string): void {
    this.#versions[name] = version;
  }

  /** Tells the reader something. */
  note(text: string): void {
    this.#notes.push(text);
  }

  /** The report. @throws UncheckedBenchmarkError where no answer was found right */
  finish(): BenchmarkReport {
    const { name, manifest, packages, settings = {} } = this.#description;
    if (this.#series.length === 0) {
      throw new UncheckedBenchmarkError(`${name} has no figures to write`, this.#failures);
    }
    return {
      form: BENCHMARK_FORM,
      benchmark: name,
      date: new Date().toISOString(),
      commit: this.#commit,
      machine: this.#machine,
      versions: { ...versionsOf(manifest, packages), ...this.#versions },
      settings,
      series: [...this.#series],
      failures: [...this.#failures],
      notes: [...this.#notes],
    };
  }

  #passedCheck(check: BenchmarkCheck | null): BenchmarkCheck {
    if (check !== null && this.#passed.has(check)) return check;
    throw new UncheckedBenchmarkError(
      `${this.#description.name} has figures whose answers were not checked`,
      this.#failures,
    );
  }
}
