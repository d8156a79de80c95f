/** A benchmark's first shape as an SVG plot: microseconds over tokens, both axes logarithmic. */

import type { HipFigures, LaunchFigure } from './figures.ts';

const WIDTH = 760;
const HEIGHT = 460;
const MARGIN = { left: 64, right: 150, top: 48, bottom: 48 } as const;

const LINES = [
  { contender: 'vllm', label: 'after vLLM', colour: '#c0504d' },
  { contender: 'flydsl_first', label: 'after FlyDSL, first', colour: '#e39a3c' },
  { contender: 'flydsl_newest', label: 'after FlyDSL, newest', colour: '#8a7a2f' },
  { contender: 'switchyard', label: 'Switchyard', colour: '#1f6fb4' },
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
  const xs = scaleOf(
    results.map((result) => result.tokens),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const ys = scaleOf(
    results.map((result) => result.medianMicroseconds),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  const title = `Router kernel, ${first?.experts} experts, top ${first?.topK}, ${first?.dtype}: ${report.device.name}`;
  const body = [
    text(MARGIN.left, 24, title, 'font-size="15" font-weight="bold"'),
    text(MARGIN.left, 40, 'microseconds a launch, median; captured graph', 'font-size="11" fill="#555"'),
    ...ticks(results.map((result) => result.tokens)).map((tokens) => verticalTick(xs(tokens), tokens)),
    ...[0.5, 1, 2, 4, 8, 16, 32, 64, 128]
      .filter((value) => inside(value, results))
      .map((value) => horizontalTick(ys(value), value)),
    text(WIDTH / 2 - MARGIN.left / 2, HEIGHT - 10, 'tokens', 'font-size="12" text-anchor="middle"'),
    ...curves(results, xs, ys),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    ...body,
    '</svg>\n',
  ].join('\n');
}

type Scale = (value: number) => number;

function curves(results: readonly LaunchFigure[], xs: Scale, ys: Scale): readonly string[] {
  const labels: number[] = [];
  return LINES.flatMap(({ contender, label, colour }) => {
    const points = results.filter((result) => result.contender === contender);
    const last = points.at(-1);
    if (last === undefined) return [];
    const path = points.map((point) => `${round(xs(point.tokens))},${round(ys(point.medianMicroseconds))}`).join(' ');
    // Labels keep 14 units apart from those placed before.
    let labelY = ys(last.medianMicroseconds) + 4;
    while (labels.some((other) => Math.abs(other - labelY) < 14)) labelY += 2;
    labels.push(labelY);
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...points.map(
        (point) =>
          `<circle cx="${round(xs(point.tokens))}" cy="${round(ys(point.medianMicroseconds))}" r="3" fill="${colour}"/>`,
      ),
      text(xs(last.tokens) + 10, labelY, label, `font-size="12" fill="${colour}"`),
    ];
  });
}

function scaleOf(values: readonly number[], from: number, to: number): Scale {
  const [low, high] = [Math.log2(Math.min(...values)), Math.log2(Math.max(...values))];
  const span = high - low || 1;
  return (value) => from + ((Math.log2(value) - low) / span) * (to - from);
}

function ticks(tokens: readonly number[]): readonly number[] {
  return [...new Set(tokens)].sort((a, b) => a - b);
}

function inside(value: number, results: readonly LaunchFigure[]): boolean {
  const times = results.map((result) => result.medianMicroseconds);
  return value >= Math.min(...times) && value <= Math.max(...times);
}

function verticalTick(x: number, tokens: number): string {
  const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
  return `<path d="M${round(x)} ${top}V${bottom}" stroke="#eee"/>${text(x, bottom + 16, String(tokens), 'font-size="11" text-anchor="middle"')}`;
}

function horizontalTick(y: number, value: number): string {
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  return `<path d="M${left} ${round(y)}H${right}" stroke="#ddd"/>${text(left - 8, y + 4, String(value), 'font-size="11" text-anchor="end"')}`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
