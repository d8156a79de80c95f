/** The panel of the expert load: what is counted, in which time, and whose tokens they are. */

import { byId, element } from './elements.mjs';
import { layerSummary, loadBetween, TokenTrace } from './expert-counts.mjs';
import { countsGrid, tokenGrid } from './heat-grids.mjs';
import { HeatMap } from './heat-map.mjs';
import { expertLoad } from './server.mjs';
import { TokenStrip } from './token-strip.mjs';

/** @typedef {import('./server.mjs').LayerLoad} LayerLoad */
/** @typedef {import('./expert-counts.mjs').TokenRouting} TokenRouting */

const NOTES = {
  nothing: 'Nothing was asked yet since the page was opened.',
  server:
    'Counted by the server while the answer came: tokens that it computed for others in that time are in it, and prompt tokens that it had in its cache are not.',
  traced: (/** @type {number} */ tokens) =>
    `Counted from the ${tokens} traced tokens of this answer and its prompt alone.`,
  total: 'Counted by the server since the model was loaded, for everybody.',
};

export class ExpertPanel {
  #scope = byId('expert-scope', HTMLSelectElement);
  #note = byId('scope-note', HTMLParagraphElement);
  #readout = byId('readout', HTMLParagraphElement);
  #high = byId('scale-high', HTMLSpanElement);
  #tokens = byId('tokens', HTMLElement);
  #table = byId('load-table', HTMLDetailsElement);
  #rows = byId('load-rows', HTMLDivElement);
  #map = new HeatMap(byId('heat', HTMLCanvasElement), (text) => {
    this.#readout.textContent = text;
  });
  #strip = new TokenStrip(byId('token-strip', HTMLDivElement), (token) => this.#showToken(token));
  /** @type {readonly LayerLoad[]} */
  #before = [];
  /** @type {readonly LayerLoad[]} */
  #now = [];
  /** The tokens of the last answer; null where they were not traced. @type {TokenTrace | null} */
  #trace = null;
  /** @type {TokenRouting | null} */
  #token = null;
  #willDraw = false;
  #hasBegun = false;

  constructor() {
    this.#scope.addEventListener('change', () => this.#draw());
    this.#table.addEventListener('toggle', () => this.#drawTable());
  }

  /**
   * Reads the counters before an answer, so that the answer's own share can be told.
   *
   * @param {AbortSignal} signal
   */
  async begin(signal) {
    this.#hasBegun = true;
    this.#before = (await expertLoad(signal)) ?? this.#now;
    this.#trace = null;
    this.#token = null;
  }

  /** @param {import('./answer-stream.mjs').RoutedExperts} routed */
  add(routed) {
    this.#trace ??= new TokenTrace();
    this.#trace.add(routed);
    if (this.#willDraw) return;
    this.#willDraw = true;
    requestAnimationFrame(() => {
      this.#willDraw = false;
      this.#draw();
    });
  }

  /** Reads the counters and shows them. @param {number | null} promptTokens of the answer that is over */
  async end(promptTokens = null) {
    const now = await expertLoad();
    if (now !== null) this.#now = now;
    if (!this.#hasBegun) this.#before = this.#now;
    if (this.#trace !== null) this.#trace.promptTokens = promptTokens;
    this.#strip.show(this.#trace?.tokens ?? [], promptTokens);
    this.#tokens.hidden = this.#trace === null;
    this.#draw();
  }

  /** Draws in the colours of now. */
  redraw() {
    this.#map.draw();
  }

  get #experts() {
    return this.#now[0]?.tokens.length ?? this.#before[0]?.tokens.length ?? 0;
  }

  /** @returns {readonly LayerLoad[]} */
  get #load() {
    if (this.#scope.value === 'total') return this.#now;
    return this.#trace === null ? loadBetween(this.#before, this.#now) : this.#trace.load(this.#experts);
  }

  #draw() {
    const option = this.#scope.querySelector('option[value=token]');
    if (option instanceof HTMLOptionElement) option.disabled = this.#token === null;
    if (this.#scope.value === 'token' && this.#token === null) this.#scope.value = 'answer';
    if (this.#scope.value === 'token' && this.#token !== null) {
      this.#showGrid(tokenGrid(this.#token, this.#experts));
      this.#note.textContent = `The weights of the experts that computed ${JSON.stringify(this.#token.text)}, at position ${this.#token.position}.`;
    } else {
      const isTotal = this.#scope.value === 'total';
      this.#showGrid(countsGrid(this.#load, isTotal ? 'since the model was loaded' : 'during the last answer'));
      this.#note.textContent = this.#noteOf(isTotal);
    }
    this.#drawTable();
  }

  /** @param {import('./heat-map.mjs').HeatGrid} grid */
  #showGrid(grid) {
    this.#map.show(grid);
    this.#high.textContent = grid.high;
  }

  /** @param {boolean} isTotal */
  #noteOf(isTotal) {
    if (isTotal) return NOTES.total;
    if (!this.#hasBegun) return NOTES.nothing;
    return this.#trace === null ? NOTES.server : NOTES.traced(this.#trace.size);
  }

  /** @param {TokenRouting} token */
  #showToken(token) {
    this.#token = token;
    const option = this.#scope.querySelector('option[value=token]');
    if (option instanceof HTMLOptionElement) option.disabled = false;
    this.#scope.value = 'token';
    this.#draw();
    const first = token.layers[0];
    this.#readout.textContent =
      first === undefined
        ? ''
        : `${JSON.stringify(token.text)}: in layer ${first.layer} expert ${first.experts.map((expert, place) => `${expert} (${first.weights[place]})`).join(', ')}`;
  }

  #drawTable() {
    if (!this.#table.open) return;
    const head = ['Layer', 'Busiest expert', 'Its tokens', 'Its share', 'Experts without a token'];
    const rows = this.#load.map(({ layer, tokens }) => {
      const { busiest, most, share, unused } = layerSummary(tokens);
      const cells = [String(busiest), String(most), `${(share * 100).toFixed(1)} %`, `${unused} of ${tokens.length}`];
      return element('tr', '', [
        element('th', '', [String(layer)], { scope: 'row' }),
        ...cells.map((text) => element('td', '', [text])),
      ]);
    });
    this.#rows.replaceChildren(
      element('table', '', [
        element('thead', '', [
          element(
            'tr',
            '',
            head.map((text) => element('th', '', [text], { scope: 'col' })),
          ),
        ]),
        element('tbody', '', rows),
      ]),
    );
  }
}
