/**
 * A histogram that was counted elsewhere, in Prometheus's text format.
 */

import { INTERVAL_BOUNDS, type IntervalCounts } from '../scheduler/interval-histogram.ts';

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`);

/** Its lines, the last one ended. Buckets count everything up to their bound, as Prometheus wants it. */
export function histogramText(name: string, help: string, modelName: string, { buckets, sum }: IntervalCounts): string {
  const label = `model_name="${escaped(modelName)}"`;
  let total = 0;
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const [index, count] of buckets.entries()) {
    total += count;
    lines.push(`${name}_bucket{le="${INTERVAL_BOUNDS[index] ?? '+Inf'}",${label}} ${total}`);
  }
  lines.push(`${name}_sum{${label}} ${sum}`, `${name}_count{${label}} ${total}`, '');
  return lines.join('\n');
}
