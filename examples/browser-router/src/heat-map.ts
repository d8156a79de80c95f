/** How many tokens each expert got, as a grid of coloured cells. */

const COLUMNS = 32;
const LEFT = 80;
const TALLEST_CELL = 80;
const LEGEND_HEIGHT = 80;
const FONT = '24px system-ui, sans-serif';
const TEXT = '#1c2430';

/** Draws one cell for each expert, expert 0 at the upper left, and makes the canvas as high as that needs. */
export function drawHeatMap(canvas: HTMLCanvasElement, tokensPerExpert: Int32Array): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const columns = Math.min(COLUMNS, tokensPerExpert.length);
  const rows = Math.ceil(tokensPerExpert.length / columns);
  const most = Math.max(1, ...tokensPerExpert);
  const width = (canvas.width - LEFT) / columns;
  const height = Math.min(TALLEST_CELL, Math.max(30, 320 / rows));
  // Setting the height clears the canvas.
  canvas.height = Math.ceil(rows * height + LEGEND_HEIGHT);
  tokensPerExpert.forEach((tokens, expert) => {
    context.fillStyle = colorOf(tokens / most);
    const left = LEFT + (expert % columns) * width;
    const top = Math.floor(expert / columns) * height;
    context.fillRect(left + 1, top + 1, width - 2, height - 2);
  });
  context.font = FONT;
  context.fillStyle = TEXT;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (let row = 0; row < rows; row++) context.fillText(String(row * columns), LEFT - 14, (row + 0.5) * height);
  drawLegend(context, canvas, most);
}

/** The load in a sentence. */
export function summarizeLoad(tokensPerExpert: Int32Array): string {
  const total = tokensPerExpert.reduce((sum, tokens) => sum + tokens, 0);
  const idle = tokensPerExpert.filter((tokens) => tokens === 0).length;
  const most = Math.max(...tokensPerExpert);
  const mean = total / tokensPerExpert.length;
  return `Expert ${tokensPerExpert.indexOf(most)} got the most tokens, ${most}; the mean is ${mean.toFixed(1)}; ${idle} of ${tokensPerExpert.length} experts got none. Each cell is an expert; the number at the left is the first expert of its row.`;
}

function drawLegend(context: CanvasRenderingContext2D, canvas: HTMLCanvasElement, most: number): void {
  const top = canvas.height - 50;
  const [left, width] = [LEFT, 400];
  for (let x = 0; x < width; x++) {
    context.fillStyle = colorOf(x / width);
    context.fillRect(left + x, top, 1, 24);
  }
  context.fillStyle = TEXT;
  context.textAlign = 'right';
  context.fillText('0', left - 14, top + 12);
  context.textAlign = 'left';
  context.fillText(`${most} tokens`, left + width + 14, top + 12);
}

/** From pale to dark blue; dark is more, also in grey. */
function colorOf(share: number): string {
  return `hsl(214 ${40 + 40 * share}% ${94 - 68 * share}%)`;
}
