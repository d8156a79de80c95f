/** A report's decoding as an SVG plot: tokens a second over sequences side by side, beside what the bandwidth allows. */

import { type BenchmarkReport, linePlot } from '@switchyard/gpu/benchmark';
import type { PlotPoint } from '@switchyard/gpu/benchmark';
import { BANDWIDTH, DECODE } from './series-names.ts';

const GIGA = 1e9;

/**
 * Draws the series over sequences at the first context that a report has. The bound is what would be decoded if a step took
 * as long as reading its least bytes; it is left out where the report does not know the bandwidth.
 *
 * @returns the text of an SVG file.
 * @throws RangeError where the report measures no decoding.
 */
export function decodePlot({ series, settings, machine }: BenchmarkReport): string {
  const decoded = series.filter(({ name }) => name === DECODE);
  const context = decoded[0]?.parameters['context'];
  const points: PlotPoint[] = [];
  const bound: PlotPoint[] = [];
  const bandwidth = series.find(({ name }) => name === BANDWIDTH)?.median;
  for (const { parameters, median, facts } of decoded) {
    const { sequences } = parameters;
    if (parameters['context'] !== context || typeof sequences !== 'number') continue;
    points.push({ x: sequences, y: median });
    const least = facts?.['leastBytesAStep'];
    if (bandwidth === undefined || least === undefined) continue;
    bound.push({ x: sequences, y: (sequences * bandwidth * GIGA) / least });
  }
  if (points.length === 0) throw new RangeError('The report measures no decoding');
  const byX = (a: PlotPoint, b: PlotPoint): number => a.x - b.x;
  return linePlot({
    title: `Decoding ${settings['model']}: ${machine.gpu?.name ?? machine.processor}`,
    subtitle: `tokens/s of all sequences together, median of steps; ${context} tokens of context`,
    xLabel: 'sequences side by side',
    lines: [
      { label: 'bandwidth / least bytes', colour: '#8c8c8c', points: bound.sort(byX), isComputed: true },
      { label: 'Switchyard', colour: '#3d8bd4', points: points.sort(byX) },
    ],
  });
}
