/** Layers by experts as colours: the more, the stronger. The number behind every cell is told where a person points. */

/**
 * What is shown: a value for every expert of every layer.
 *
 * @typedef {object} HeatGrid
 * @property {readonly { readonly layer: number, readonly values: readonly number[] }[]} rows
 * @property {number} most the value of full colour
 * @property {string} high that value, in words
 * @property {string} summary what is seen, in words
 * @property {(row: number, expert: number) => string} describe a cell, in words
 */

const EMPTY_ALPHA = 0.06;
/** The smallest value that is not zero is told from zero. */
const LEAST_ALPHA = 0.16;
const LABEL_WIDTH = 24;
const LAYER_GAP = 2;
/** More experts than this go on in a further line of the same layer. */
const PER_LINE = 64;
/** Pixels of all layers together, as far as lines stay within these heights. */
const WANTED_HEIGHT = 330;
const LINE_HEIGHTS = { least: 5, most: 13 };
const LABEL_EVERY = 12;

export class HeatMap {
  /** @type {HTMLCanvasElement} */
  #canvas;
  /** @type {(text: string) => void} */
  #tell;
  /** @type {HeatGrid | null} */
  #grid = null;
  /** The cell that was pointed at. @type {{ row: number, expert: number } | null} */
  #cell = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(text: string) => void} tell gets the words for the cell that a person points at
   */
  constructor(canvas, tell) {
    this.#canvas = canvas;
    this.#tell = tell;
    canvas.addEventListener('pointermove', (event) => this.#point(this.#cellAt(event)));
    canvas.addEventListener('pointerdown', (event) => this.#point(this.#cellAt(event)));
    canvas.addEventListener('pointerleave', () => this.#point(null));
    canvas.addEventListener('keydown', (event) => this.#onKey(event));
    canvas.addEventListener('focus', () => this.#point(this.#cell ?? { row: 0, expert: 0 }));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** @param {HeatGrid} grid */
  show(grid) {
    this.#grid = grid;
    this.#canvas.setAttribute('aria-label', grid.summary);
    const { rows } = grid;
    if (this.#cell !== null && (rows[this.#cell.row]?.values[this.#cell.expert] ?? null) === null) this.#cell = null;
    this.#point(this.#cell);
  }

  /** Draws what is shown again, in the colours and at the width of now. */
  draw() {
    const context = this.#canvas.getContext('2d');
    const grid = this.#grid;
    if (context === null || grid === null) return;
    const { width, height, cell, perLine, lineHeight, layerHeight } = this.#layout(grid);
    this.#canvas.style.height = `${height}px`;
    this.#canvas.width = Math.round(width * devicePixelRatio);
    this.#canvas.height = Math.round(height * devicePixelRatio);
    context.scale(devicePixelRatio, devicePixelRatio);
    const { color, fill, stroke, fontFamily } = getComputedStyle(this.#canvas);
    context.font = `10px ${fontFamily}`;
    context.textBaseline = 'middle';
    const every = Math.ceil(LABEL_EVERY / layerHeight);
    for (const [row, { layer, values }] of grid.rows.entries()) {
      const top = row * layerHeight;
      context.globalAlpha = 1;
      context.fillStyle = color;
      if (row % every === 0) context.fillText(String(layer), 0, top + (layerHeight - LAYER_GAP) / 2);
      context.fillStyle = fill;
      for (const [expert, value] of values.entries()) {
        context.globalAlpha = value > 0 ? LEAST_ALPHA + (1 - LEAST_ALPHA) * (value / grid.most) : EMPTY_ALPHA;
        const left = LABEL_WIDTH + (expert % perLine) * cell;
        const gap = cell > 4 ? 1 : 0;
        context.fillRect(left, top + Math.floor(expert / perLine) * lineHeight, cell - gap, lineHeight - gap);
      }
    }
    if (this.#cell === null) return;
    const { row, expert } = this.#cell;
    context.globalAlpha = 1;
    context.strokeStyle = stroke;
    context.lineWidth = 2;
    const top = row * layerHeight + Math.floor(expert / perLine) * lineHeight;
    context.strokeRect(LABEL_WIDTH + (expert % perLine) * cell, top, cell - 1, lineHeight - 1);
  }

  /** @param {HeatGrid} grid */
  #layout({ rows }) {
    const experts = Math.max(1, ...rows.map(({ values }) => values.length));
    const perLine = Math.min(PER_LINE, experts);
    const lines = Math.ceil(experts / perLine);
    const wanted = WANTED_HEIGHT / (Math.max(1, rows.length) * lines);
    const lineHeight = Math.round(Math.min(LINE_HEIGHTS.most, Math.max(LINE_HEIGHTS.least, wanted)));
    const layerHeight = lines * lineHeight + LAYER_GAP;
    const width = this.#canvas.clientWidth;
    const cell = (width - LABEL_WIDTH) / perLine;
    return { width, height: rows.length * layerHeight, cell, perLine, lines, lineHeight, layerHeight };
  }

  /** @param {{ readonly offsetX: number, readonly offsetY: number }} place */
  #cellAt({ offsetX, offsetY }) {
    if (this.#grid === null) return null;
    const { cell, perLine, lines, lineHeight, layerHeight } = this.#layout(this.#grid);
    const row = Math.floor(offsetY / layerHeight);
    const column = Math.floor((offsetX - LABEL_WIDTH) / cell);
    const line = Math.min(lines - 1, Math.floor((offsetY - row * layerHeight) / lineHeight));
    const expert = line * perLine + column;
    const isCell = column >= 0 && column < perLine && this.#grid.rows[row]?.values[expert] !== undefined;
    return isCell ? { row, expert } : null;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (this.#grid === null || this.#grid.rows.length === 0) return;
    const { row, expert } = this.#cell ?? { row: 0, expert: 0 };
    const lastRow = this.#grid.rows.length - 1;
    const lastExpert = (this.#grid.rows[row]?.values.length ?? 1) - 1;
    /** @type {Record<string, { row: number, expert: number }>} */
    const moves = {
      ArrowLeft: { row, expert: Math.max(0, expert - 1) },
      ArrowRight: { row, expert: Math.min(lastExpert, expert + 1) },
      ArrowUp: { row: Math.max(0, row - 1), expert },
      ArrowDown: { row: Math.min(lastRow, row + 1), expert },
      Home: { row, expert: 0 },
      End: { row, expert: lastExpert },
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#point(next);
  }

  /** @param {{ row: number, expert: number } | null} cell */
  #point(cell) {
    this.#cell = cell;
    this.draw();
    if (this.#grid === null) return;
    const isThere = cell !== null && this.#grid.rows[cell.row]?.values[cell.expert] !== undefined;
    this.#tell(isThere ? this.#grid.describe(cell.row, cell.expert) : '');
  }
}
