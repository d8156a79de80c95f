/** The harness of every benchmark, and the form of its results. Loads no native code. */

export { Benchmark } from './benchmark.ts';
export type {
  BenchmarkCheck,
  BenchmarkContender,
  BenchmarkDescription,
  Measurement,
  RecordedSeries,
} from './benchmark.ts';
export { describeMachine } from './machine.ts';
export { linePlot } from './line-plot.ts';
export type { LinePlot, PlotLine, PlotPoint } from './line-plot.ts';
export { commitOf, versionsOf } from './provenance.ts';
export { BENCHMARK_FORM, benchmarkJson, isBenchmarkReport } from './report.ts';
export type {
  BenchmarkCommit,
  BenchmarkMachine,
  BenchmarkReport,
  BenchmarkSeries,
  MeasuredGpu,
  ParameterValue,
  SampleStatistics,
} from './report.ts';
export { medianOf, quantile, statisticsOf } from './statistics.ts';
export { benchmarkHeading, benchmarkRemarks, benchmarkTable } from './table.ts';
