/** Lines over two logarithmic axes as the text of an SVG file, in light and dark colours as its viewer prefers. */

const WIDTH = 760;
const HEIGHT = 460;
const MARGIN = { left: 72, right: 160, top: 52, bottom: 52 } as const;
/** Labels of lines are so far apart at least. */
const LABEL_HEIGHT = 14;

/** One contender. */
export interface PlotLine {
  readonly label: string;
  /** A CSS colour that is readable on white and on black. */
  readonly colour: string;
  /** Positive, in the order of x. */
  readonly points: readonly PlotPoint[];
  /** Drawn in dashes and without dots: computed, not measured. Defaults to false. */
  readonly isComputed?: boolean;
}

export interface PlotPoint {
  readonly x: number;
  readonly y: number;
}

/** What is drawn. */
export interface LinePlot {
  readonly title: string;
  /** What the vertical axis counts, and how it was measured. */
  readonly subtitle: string;
  /** What the horizontal axis counts. */
  readonly xLabel: string;
  /** Lines without points are left out. */
  readonly lines: readonly PlotLine[];
}

const STYLE = `<style>
.ground { fill: #ffffff; } .ink { fill: #1f2328; } .faint { fill: #59636e; } .grid { stroke: #d8dee4; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } .ink { fill: #e6edf3; } .faint { fill: #9198a1; } .grid { stroke: #30363d; }
}
</style>`;

/** Draws it. Every x that has a point gets a tick; those of y are 1, 2 and 5 times a power of ten. */
export function linePlot({ title, subtitle, xLabel, lines }: LinePlot): string {
  const points = lines.flatMap((line) => line.points);
  const across = points.map(({ x }) => x);
  const [left, right, top, bottom] = [MARGIN.left, WIDTH - MARGIN.right, MARGIN.top, HEIGHT - MARGIN.bottom];
  const upTicks = ticksAround(points.map(({ y }) => y));
  const xs = scaleOf(across, left, right);
  const ys = scaleOf(upTicks, bottom, top);
  const body = [
    text(left, 24, title, 'class="ink" font-size="15" font-weight="bold"'),
    text(left, 41, subtitle, 'class="faint" font-size="12"'),
    ...[...new Set(across)].map(
      (x) =>
        `<path d="M${round(xs(x))} ${top}V${bottom}" class="grid"/>` +
        text(xs(x), bottom + 17, String(x), 'class="faint" font-size="12" text-anchor="middle"'),
    ),
    ...upTicks.map(
      (y) =>
        `<path d="M${left} ${round(ys(y))}H${right}" class="grid"/>` +
        text(left - 8, ys(y) + 4, String(y), 'class="faint" font-size="12" text-anchor="end"'),
    ),
    text((left + right) / 2, HEIGHT - 12, xLabel, 'class="ink" font-size="13" text-anchor="middle"'),
    ...curves(lines, xs, ys),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" role="img">`,
    `<title>${escaped(title)}</title>`,
    STYLE,
    `<rect width="${WIDTH}" height="${HEIGHT}" class="ground"/>`,
    ...body,
    '</svg>\n',
  ].join('\n');
}

type Scale = (value: number) => number;

function curves(lines: readonly PlotLine[], xs: Scale, ys: Scale): readonly string[] {
  const labels: number[] = [];
  return lines.flatMap(({ label, colour, points, isComputed = false }) => {
    const last = points.at(-1);
    if (last === undefined) return [];
    const path = points.map(({ x, y }) => `${round(xs(x))},${round(ys(y))}`).join(' ');
    let labelY = ys(last.y) + 4;
    while (labels.some((other) => Math.abs(other - labelY) < LABEL_HEIGHT)) labelY += 2;
    labels.push(labelY);
    const dashes = isComputed ? ' stroke-dasharray="6 4"' : '';
    const dots = isComputed
      ? []
      : points.map(({ x, y }) => `<circle cx="${round(xs(x))}" cy="${round(ys(y))}" r="3" fill="${colour}"/>`);
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"${dashes}/>`,
      ...dots,
      text(xs(last.x) + 10, labelY, label, `font-size="12" fill="${colour}"`),
    ];
  });
}

function scaleOf(values: readonly number[], from: number, to: number): Scale {
  const [low, high] = [Math.log2(Math.min(...values)), Math.log2(Math.max(...values))];
  const span = high - low || 1;
  return (value) => from + ((Math.log2(value) - low) / span) * (to - from);
}

/** The values 1, 2 and 5 times a power of ten from the last one below all values to the first one above them. */
function ticksAround(values: readonly number[]): readonly number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const ticks: number[] = [];
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent++) {
    // Written out and read, so that a tick of 0.2 is not 0.2 and a rounding error.
    for (const digit of [1, 2, 5]) ticks.push(Number(`${digit}e${exponent}`));
  }
  const first = ticks.findLastIndex((tick) => tick <= low);
  const last = ticks.findIndex((tick) => tick >= high);
  return ticks.slice(Math.max(0, first), last + 1);
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
