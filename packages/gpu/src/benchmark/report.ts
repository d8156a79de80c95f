/** The form in which every benchmark's results are stored: docs/benchmarks/benchmark.schema.json, as types. */

/** Names the form and its version, in every file. */
export const BENCHMARK_FORM = 'switchyard-benchmark-1';

/** The value of a parameter or a setting. */
export type ParameterValue = string | number | boolean;

/** A run of a benchmark. */
export interface BenchmarkReport {
  readonly form: typeof BENCHMARK_FORM;
  /** Which benchmark, such as `'router-kernel bench --backend hip'`. */
  readonly benchmark: string;
  /** When the run ended, ISO 8601. */
  readonly date: string;
  /** Null outside a checkout, as where the package is installed. */
  readonly commit: BenchmarkCommit | null;
  readonly machine: BenchmarkMachine;
  /** Of Node, of the packages measured, and of the libraries and compilers beside them. */
  readonly versions: Readonly<Record<string, string>>;
  /** What holds for all series. */
  readonly settings: Readonly<Record<string, ParameterValue>>;
  /** At least one. */
  readonly series: readonly BenchmarkSeries[];
  /** What was not measured because its answers were wrong, in words. */
  readonly failures: readonly string[];
  /** What else a reader has to know, such as what could not be measured here. */
  readonly notes: readonly string[];
}

/** The code that was measured. */
export interface BenchmarkCommit {
  readonly hash: string;
  /** Files that differ from the commit, documents apart; null where that is not known. */
  readonly changed: readonly string[] | null;
}

/** The machine of a run. */
export interface BenchmarkMachine {
  /** The processor's model. */
  readonly processor: string;
  /** Threads that the process may use side by side. */
  readonly cores: number;
  /** Bytes of memory that the process may use. */
  readonly memoryBytes: number;
  /** Operating system, its release, and the processor's architecture. */
  readonly system: string;
  /** Processes that wanted to run in the minute before, on average; null on Windows, which does not tell. */
  readonly loadBefore: number | null;
  /** The GPU that was measured; null where none was. */
  readonly gpu: MeasuredGpu | null;
}

/** A GPU. */
export interface MeasuredGpu {
  readonly name: string;
  /** Such as `'gfx942'`; null where the interface does not tell. */
  readonly architecture: string | null;
  /** The driver's version; null where the interface does not tell. */
  readonly driver: string | null;
}

/** Samples of one contender at one set of parameters, in numbers. */
export interface BenchmarkSeries extends SampleStatistics {
  /** What is measured, such as `'launch'`. */
  readonly name: string;
  /** Whose, among those measured beside each other. */
  readonly contender: string;
  /** Such as `'µs'` or `'tokens/s'`. */
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** What was compared with what before this counted. */
  readonly checked: string;
  /** Facts beside the samples, such as registers. */
  readonly facts?: Readonly<Record<string, number>>;
  /** The samples in the order they were taken, where the order says something. */
  readonly samples?: readonly number[];
}

/** What is kept of samples. */
export interface SampleStatistics {
  readonly count: number;
  /** The middle sample; the mean of the middle two where there is an even number. */
  readonly median: number;
  /** The 99th percentile, nearest rank: of a rate the good end, as of a time the bad one. */
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

/** A report as the text of a file. */
export function benchmarkJson(report: BenchmarkReport): string {
  return `${JSON.stringify(report, null, 1)}\n`;
}

/** Whether parsed JSON says that it is a report in this form. */
export function isBenchmarkReport(value: unknown): value is BenchmarkReport {
  return typeof value === 'object' && value !== null && Reflect.get(value, 'form') === BENCHMARK_FORM;
}
