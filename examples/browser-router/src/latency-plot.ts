/** Latency by number of tokens, both axes logarithmic. */

import type { Latency } from './routing-run.ts';

const MARGIN = { left: 130, right: 50, top: 60, bottom: 90 };
/** Keeps the first and the last point off the edges. */
const INSET = 40;
const FONT = '24px system-ui, sans-serif';

/** Draws the points and the line through them. */
export function drawLatencies(canvas: HTMLCanvasElement, latencies: readonly Latency[]): void {
  const context = canvas.getContext('2d');
  const [first, last] = [latencies[0], latencies.at(-1)];
  if (context === null || first === undefined || last === undefined) return;
  const times = latencies.map(({ milliseconds }) => Math.max(milliseconds, 0.01));
  const lowest = Math.floor(Math.log10(Math.min(...times)));
  const highest = Math.max(Math.ceil(Math.log10(Math.max(...times))), lowest + 1);
  const width = canvas.width - MARGIN.left - MARGIN.right;
  const height = canvas.height - MARGIN.top - MARGIN.bottom;
  const x = (tokens: number): number =>
    MARGIN.left +
    INSET +
    ((width - 2 * INSET) * Math.log2(tokens / first.tokens)) / Math.log2(last.tokens / first.tokens);
  const y = (time: number): number => MARGIN.top + (height * (highest - Math.log10(time))) / (highest - lowest);

  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = FONT;
  context.lineWidth = 3;
  context.lineJoin = 'round';
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (let power = lowest; power <= highest; power++) {
    line(context, '#dde2e9', [MARGIN.left, y(10 ** power)], [MARGIN.left + width, y(10 ** power)]);
    context.fillStyle = '#1c2430';
    context.fillText(`${10 ** power} ms`, MARGIN.left - 16, y(10 ** power));
  }
  context.textAlign = 'center';
  for (const { tokens } of latencies) context.fillText(String(tokens), x(tokens), MARGIN.top + height + 28);
  context.fillText('tokens', MARGIN.left + width / 2, MARGIN.top + height + 66);

  const points = latencies.map(({ tokens }, i): [number, number] => [x(tokens), y(times[i] ?? 0.01)]);
  points.slice(1).forEach((point, i) => line(context, '#1f5fbf', points[i] ?? point, point));
  context.fillStyle = '#1f5fbf';
  context.textBaseline = 'bottom';
  points.forEach(([left, top], i) => {
    context.beginPath();
    context.arc(left, top, 7, 0, 2 * Math.PI);
    context.fill();
    label(context, shortNumber(times[i] ?? 0), left, top - 14);
  });
}

/** Two digits, without an exponent. */
function shortNumber(value: number): string {
  return value < 10 ? value.toPrecision(2) : value.toFixed(0);
}

/** Text on a white rim, readable where a line crosses it. */
function label(context: CanvasRenderingContext2D, text: string, left: number, bottom: number): void {
  context.strokeStyle = '#fff';
  context.lineWidth = 8;
  context.strokeText(text, left, bottom);
  context.fillText(text, left, bottom);
}

function line(
  context: CanvasRenderingContext2D,
  color: string,
  from: readonly [number, number],
  to: readonly [number, number],
): void {
  context.strokeStyle = color;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}
