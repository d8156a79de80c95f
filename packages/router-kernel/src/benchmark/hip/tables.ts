/** A benchmark's results as a table for a terminal. */

import { describeShape } from '../logits.ts';
import type { HipFigures, LaunchFigure } from './figures.ts';

const COLUMNS = ['empty', 'vllm', 'flydsl_first', 'flydsl_newest', 'switchyard_ordinary', 'switchyard'] as const;

/** One table for each shape and cache state: microseconds a launch, and the baselines' times over ours. */
export function benchmarkTables(report: HipFigures): string {
  const { device, copyBytesPerSecond } = report;
  const lines = [
    `${device.name} (${device.architecture}), driver ${device.driverVersion}, ${report.compiler ?? 'ahead of time'}`,
    `median of ${report.replays} replays of a graph of ${report.launchesPerGraph} launches, in microseconds a launch`,
    "'ordinary' is Switchyard launched without overlap; the ratios are of Switchyard as it is used",
    `copy bandwidth ${(copyBytesPerSecond / 1e9).toFixed(0)} GB/s (read and written)`,
  ];
  for (const [title, results] of groups(report.results)) {
    lines.push('', title);
    const head = [
      'T',
      'empty',
      'vLLM',
      'FlyDSL 1st',
      'FlyDSL new',
      'ordinary',
      'Switchyard',
      'p99',
      'x vLLM',
      'x best FlyDSL',
      '% of copy',
    ];
    lines.push(tableLine(head));
    const tokens = [...new Set(results.map((result) => result.tokens))];
    for (const count of tokens) lines.push(tableRow(report, results, count));
    if (results.some(({ contender }) => contender === 'switchyard_plan')) lines.push(...planTable(results, tokens));
  }
  for (const problem of report.wrong) lines.push(`WRONG, not timed: ${problem}`);
  return `${lines.join('\n')}\n`;
}

/** The router with its dispatch plan, beside the router alone and the plan in launches of its own, and FlashInfer's algorithm. */
function planTable(results: readonly LaunchFigure[], tokens: readonly number[]): string[] {
  const hasFlashInfer = results.some(({ contender }) => contender === 'flashinfer');
  const head = ['T', 'router alone', 'with plan', 'p99', 'plan apart', 'p99', 'x apart'];
  if (hasFlashInfer) head.push('FlashInfer', 'p99', 'x FlashInfer');
  const rows = tokens.map((count) => {
    const of = figuresAt(results, count);
    const [alone, planned, apart] = [of('switchyard'), of('switchyard_plan'), of('plan_apart')];
    const times = [
      alone?.medianMicroseconds,
      planned?.medianMicroseconds,
      planned?.p99Microseconds,
      apart?.medianMicroseconds,
      apart?.p99Microseconds,
      (apart?.medianMicroseconds ?? Number.NaN) / (planned?.medianMicroseconds ?? Number.NaN),
    ];
    if (hasFlashInfer) {
      const { medianMicroseconds, p99Microseconds } = of('flashinfer') ?? {};
      const ratio = (medianMicroseconds ?? Number.NaN) / (planned?.medianMicroseconds ?? Number.NaN);
      times.push(medianMicroseconds, p99Microseconds, ratio);
    }
    return [String(count), ...times.map((time) => (time ?? Number.NaN).toFixed(2))];
  });
  return ['', tableLine(head), ...rows.map(tableLine)];
}

function tableRow(report: HipFigures, results: readonly LaunchFigure[], tokens: number): string {
  const of = figuresAt(results, tokens);
  const own = of('switchyard');
  const time = (contender: string): number => of(contender)?.medianMicroseconds ?? Number.NaN;
  const ratio = (other: number): string => (other / (own?.medianMicroseconds ?? Number.NaN)).toFixed(2);
  const share = ((own?.bytesPerSecond ?? Number.NaN) / report.copyBytesPerSecond) * 100;
  const flydsl = Math.min(...['flydsl_first', 'flydsl_newest'].map(time).filter((value) => !Number.isNaN(value)));
  const cells = [
    String(tokens),
    ...COLUMNS.map((contender) => time(contender).toFixed(2)),
    (own?.p99Microseconds ?? Number.NaN).toFixed(2),
    ratio(time('vllm')),
    Number.isFinite(flydsl) ? ratio(flydsl) : '-',
    share.toFixed(0),
  ];
  return tableLine(cells);
}

/** The figure of each contender at T. */
function figuresAt(results: readonly LaunchFigure[], tokens: number): (contender: string) => LaunchFigure | undefined {
  return (contender) => results.find((result) => result.tokens === tokens && result.contender === contender);
}

/** Cells in columns; a dash for what was not measured. */
function tableLine(cells: readonly string[]): string {
  return cells.map((cell) => (cell === 'NaN' ? '-' : cell).padStart(13)).join('');
}

function groups(results: readonly LaunchFigure[]): ReadonlyMap<string, readonly LaunchFigure[]> {
  const found = new Map<string, LaunchFigure[]>();
  for (const result of results) {
    const title = `${describeShape(result)}, ${result.cache} cache`;
    const group = found.get(title);
    if (group === undefined) found.set(title, [result]);
    else group.push(result);
  }
  return found;
}
