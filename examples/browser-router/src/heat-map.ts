/** How many tokens each expert got, as a grid of coloured cells. */

const COLUMNS = 32;
const LEGEND_HEIGHT = 70;
const FONT = '24px system-ui, sans-serif';

/** Draws one cell for each expert, expert 0 at the upper left. */
export function drawHeatMap(canvas: HTMLCanvasElement, tokensPerExpert: Int32Array): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const columns = Math.min(COLUMNS, tokensPerExpert.length);
  const rows = Math.ceil(tokensPerExpert.length / columns);
  const most = Math.max(1, ...tokensPerExpert);
  const width = canvas.width / columns;
  const height = (canvas.height - LEGEND_HEIGHT) / rows;
  context.clearRect(0, 0, canvas.width, canvas.height);
  tokensPerExpert.forEach((tokens, expert) => {
    context.fillStyle = colorOf(tokens / most);
    const left = (expert % columns) * width;
    const top = Math.floor(expert / columns) * height;
    context.fillRect(left + 1, top + 1, width - 2, height - 2);
  });
  drawLegend(context, canvas, most);
}

/** The load in a sentence. */
export function summarizeLoad(tokensPerExpert: Int32Array): string {
  const total = tokensPerExpert.reduce((sum, tokens) => sum + tokens, 0);
  const idle = tokensPerExpert.filter((tokens) => tokens === 0).length;
  const most = Math.max(...tokensPerExpert);
  const mean = total / tokensPerExpert.length;
  return `Expert ${tokensPerExpert.indexOf(most)} got the most tokens, ${most}; the mean is ${mean.toFixed(1)}; ${idle} of ${tokensPerExpert.length} experts got none. Cells go from left to right, then down, by expert id.`;
}

function drawLegend(context: CanvasRenderingContext2D, canvas: HTMLCanvasElement, most: number): void {
  const top = canvas.height - 44;
  const [left, width] = [60, 400];
  for (let x = 0; x < width; x++) {
    context.fillStyle = colorOf(x / width);
    context.fillRect(left + x, top, 1, 24);
  }
  context.fillStyle = '#1c2430';
  context.font = FONT;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  context.fillText('0', left - 12, top + 12);
  context.textAlign = 'left';
  context.fillText(`${most} tokens`, left + width + 12, top + 12);
}

/** From pale to dark blue; dark is more, also in grey. */
function colorOf(share: number): string {
  return `hsl(214 ${40 + 40 * share}% ${94 - 68 * share}%)`;
}
