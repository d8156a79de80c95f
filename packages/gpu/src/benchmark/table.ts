/** A report for people to read in a terminal. */

import type { BenchmarkReport, BenchmarkSeries, ParameterValue } from './report.ts';

const GAP = '  ';
const SIGNIFICANT_DIGITS = 4;

/** The whole report: where and on what it ran, then a table for each name of a series. */
export function benchmarkTable(report: BenchmarkReport): string {
  return [benchmarkHeading(report), ...[...byName(report.series)].map(tableOf), benchmarkRemarks(report)]
    .filter((part) => part !== '')
    .join('\n');
}

/** Where and on what a report's run was, a line or two. */
export function benchmarkHeading({ benchmark, date, commit, machine, versions }: BenchmarkReport): string {
  const changed = commit?.changed?.length === 0 ? '' : commit?.changed ? ', changed' : '';
  const { gpu } = machine;
  const gibibytes = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `${benchmark}, ${date}, commit ${commit === null ? 'unknown' : `${commit.hash.slice(0, 10)}${changed}`}`,
    `${machine.processor}, ${machine.cores} cores, ${gibibytes} GiB, ${machine.system}`,
    ...(gpu === null
      ? []
      : [[gpu.name, gpu.architecture, gpu.driver && `driver ${gpu.driver}`].filter(Boolean).join(', ')]),
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
    '',
  ].join('\n');
}

/** A report's failures and notes, a line each; nothing where there are none. */
export function benchmarkRemarks({ failures, notes }: BenchmarkReport): string {
  return [...failures.map((text) => `WRONG, not measured: ${text}\n`), ...notes.map((text) => `${text}\n`)].join('');
}

function byName(series: readonly BenchmarkSeries[]): ReadonlyMap<string, readonly BenchmarkSeries[]> {
  const groups = new Map<string, BenchmarkSeries[]>();
  for (const one of series) {
    const key = `${one.name}, ${one.unit}, ${one.better} is better`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

/** Parameters that are the same in all rows stand in the title; the rest are columns. */
function tableOf([title, series]: readonly [string, readonly BenchmarkSeries[]]): string {
  const names = [...new Set(series.flatMap(({ parameters }) => Object.keys(parameters)))];
  const varying = names.filter((name) => new Set(series.map(({ parameters }) => parameters[name])).size > 1);
  const fixed = names.filter((name) => !varying.includes(name)).map((name) => [name, series[0]?.parameters[name]]);
  const heading = [title, ...fixed.map(([name, value]) => `${name} ${value}`)].join(', ');
  const rivals = new Set(series.map(({ contender }) => contender)).size > 1;
  // Of one sample there is nothing more to tell.
  const isSingle = series.every(({ count }) => count === 1);
  const columns = isSingle ? ['value'] : ['median', 'p99', 'min', 'max', 'count'];
  const head = [...varying, 'contender', ...columns, ...(rivals ? ['x first'] : [])];
  const rows = series.map((one) => [
    ...varying.map((name) => cellOf(one.parameters[name])),
    one.contender,
    ...(isSingle ? [one.median] : [one.median, one.p99, one.min, one.max]).map(formatNumber),
    ...(isSingle ? [] : [String(one.count)]),
    ...(rivals ? [speedBesideFirst(one, series)] : []),
  ]);
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === varying.length ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join(GAP)
      .trimEnd();
  return `${[heading, ...[head, ...rows].map(line)].join('\n')}\n`;
}

/** How many times as good as the first contender at the same parameters. */
function speedBesideFirst(one: BenchmarkSeries, series: readonly BenchmarkSeries[]): string {
  const same = JSON.stringify(one.parameters);
  const first = series.find(({ parameters }) => JSON.stringify(parameters) === same);
  if (first === undefined || first === one) return '';
  return (one.better === 'lower' ? first.median / one.median : one.median / first.median).toFixed(2);
}

function cellOf(value: ParameterValue | undefined): string {
  return value === undefined ? '' : String(value);
}

function formatNumber(value: number): string {
  const digits = SIGNIFICANT_DIGITS - 1 - Math.floor(Math.log10(Math.abs(value) || 1));
  return value.toFixed(Math.min(6, Math.max(0, digits)));
}
