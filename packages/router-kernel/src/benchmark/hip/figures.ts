/** The figures of a router benchmark, flat, for tables and plots: from a report, or from one stored before its form. */

import { isBenchmarkReport } from '@switchyard/gpu/benchmark';
import type { BenchmarkReport } from '@switchyard/gpu/benchmark';
import type { LogitsDtype } from '../../contract.ts';
import { RouterError } from '../../errors.ts';

/** One contender's launch at one shape. */
export interface LaunchFigure {
  readonly experts: number;
  readonly topK: number;
  readonly dtype: LogitsDtype;
  /** See `BenchmarkShape`. */
  readonly logits?: 'normal' | 'ties';
  readonly tokens: number;
  readonly cache: 'warm' | 'cold';
  readonly contender: string;
  readonly medianMicroseconds: number;
  readonly p99Microseconds: number;
  /** Bytes that must be read and written, over the median time. */
  readonly bytesPerSecond: number;
}

/** All of a run. */
export interface HipFigures {
  readonly device: { readonly name: string; readonly architecture: string; readonly driverVersion: string };
  /** Null where nothing was compiled in the run. */
  readonly compiler: string | null;
  readonly launchesPerGraph: number;
  readonly replays: number;
  /** Bytes read and written a second by the runtime's own copy. */
  readonly copyBytesPerSecond: number;
  readonly results: readonly LaunchFigure[];
  /** Contenders that were not timed because their answers were wrong, in words. */
  readonly wrong: readonly string[];
}

/** Reads what `router-kernel bench --out` wrote, now or before reports had their form. @throws RouterError */
export function hipFiguresOf(stored: unknown): HipFigures {
  if (isBenchmarkReport(stored)) return figuresOfReport(stored);
  const isOlder = typeof stored === 'object' && stored !== null && 'results' in stored && 'launchesPerGraph' in stored;
  // The flat form is the one that was stored then.
  if (isOlder) return stored as unknown as HipFigures;
  const message = 'The file holds no HIP benchmark · give one that router-kernel bench --backend hip --out wrote';
  throw new RouterError('NO_BENCHMARK', message);
}

function figuresOfReport({ machine, versions, settings, series, failures }: BenchmarkReport): HipFigures {
  const { gpu } = machine;
  const copy = series.find(({ name }) => name.startsWith('copy'));
  const launches = series.filter(({ name }) => name === 'launch');
  if (launches.length === 0)
    throw new RouterError('NO_BENCHMARK', 'The report has no launches · give one of --backend hip');
  return {
    device: { name: gpu?.name ?? '', architecture: gpu?.architecture ?? '', driverVersion: gpu?.driver ?? '' },
    compiler: versions['kernel compiler'] ?? null,
    launchesPerGraph: Number(settings['launchesPerGraph']),
    replays: Number(settings['replays']),
    copyBytesPerSecond: (copy?.median ?? Number.NaN) * 1e9,
    results: launches.map(({ contender, median, p99, parameters }) => ({
      experts: Number(parameters['experts']),
      topK: Number(parameters['topK']),
      dtype: parameters['dtype'] as LogitsDtype,
      ...(parameters['logits'] === 'ties' && { logits: 'ties' }),
      tokens: Number(parameters['tokens']),
      cache: parameters['cache'] as 'warm' | 'cold',
      contender,
      medianMicroseconds: median,
      p99Microseconds: p99,
      bytesPerSecond: Number(parameters['bytes']) / (median * 1e-6),
    })),
    wrong: failures,
  };
}
