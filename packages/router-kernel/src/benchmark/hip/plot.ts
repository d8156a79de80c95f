/** A benchmark's first shape as an SVG plot: microseconds over tokens. */

import { linePlot } from '@switchyard/gpu/benchmark';
import type { HipFigures } from './figures.ts';

const LINES = [
  { contender: 'vllm', label: 'after vLLM', colour: '#c0504d' },
  { contender: 'flydsl_first', label: 'after FlyDSL, first', colour: '#d08a2e' },
  { contender: 'flydsl_newest', label: 'after FlyDSL, newest', colour: '#8a7a2f' },
  { contender: 'switchyard', label: 'Switchyard', colour: '#3d8bd4' },
  { contender: 'empty', label: 'empty kernel', colour: '#8c8c8c' },
] as const;

/** Draws it. Returns the text of an SVG file. */
export function benchmarkPlot(report: HipFigures): string {
  const first = report.results[0];
  const results = report.results.filter(
    (result) =>
      result.experts === first?.experts &&
      result.topK === first.topK &&
      result.dtype === first.dtype &&
      result.logits === first.logits &&
      result.cache === 'warm',
  );
  return linePlot({
    title: `Router kernel, ${first?.experts} experts, top ${first?.topK}, ${first?.dtype}: ${report.device.name}`,
    subtitle: 'microseconds a launch, median; captured graph',
    xLabel: 'tokens',
    lines: LINES.map(({ contender, label, colour }) => ({
      label,
      colour,
      points: results
        .filter((result) => result.contender === contender)
        .map(({ tokens, medianMicroseconds }) => ({ x: tokens, y: medianMicroseconds })),
    })),
  });
}
