/**
 * Markdown that is shown while it comes. Blocks that no further text can change are made into nodes once; only the last
 * ones are read again, and of their nodes only what changed is touched.
 */

import { growthOf, keptRows, rowsPlace, withoutRows } from './growing-block.mjs';
import { blocksOf, nodesOf } from './markdown.mjs';
import { patchChildren } from './patch-nodes.mjs';

/**
 * Blocks at the end that further text may change. The last one is unfinished; the one before it may still take it in: of
 * `1. a`, an empty line and `2`, the second is a paragraph until `. b` makes it the list's.
 */
const OPEN_BLOCKS = 2;
/** Rendering takes at most this share of the time, so that the rest of the page goes on. */
const SHARE = 0.25;

export class StreamedMarkdown {
  /** @type {HTMLElement} */
  #place;
  /** @type {() => void} */
  #changed;
  #text = '';
  /** How much of the text is in nodes that stay. */
  #settled = 0;
  /** @type {ChildNode | null} The last node that stays. */
  #anchor = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;
  #lastCostMs = 0;
  /** The list or the table at the end as it was shown last. @type {import('./growing-block.mjs').Growth | null} */
  #growth = null;
  /** Whether the text defines links by name, which blocks before the definition may use. */
  #defines = false;

  /**
   * @param {HTMLElement} place gets the nodes
   * @param {(change: () => void) => void} around called with every change of the place, to make it
   */
  constructor(place, around = (change) => change()) {
    this.#place = place;
    this.#changed = () => around(() => this.#render());
  }

  /**
   * Shows more text soon.
   *
   * @param {string} text
   */
  append(text) {
    // As the lexer has it: what it calls raw is then as long as what it read.
    this.#text += text.replaceAll('\r', '');
    if (this.#timer !== null) return;
    const wait = Math.max(0, this.#lastCostMs / SHARE - this.#lastCostMs);
    this.#timer = setTimeout(() => this.#onTime(), wait);
  }

  /** Shows at once what has come. */
  show() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#changed();
  }

  /** The text is whole: shows it as it is then. */
  finish() {
    if (this.#defines) {
      this.#settled = 0;
      this.#anchor = null;
      this.#growth = null;
    }
    this.show();
  }

  #onTime() {
    const onFrame = () => {
      // Shown in the meantime.
      if (this.#timer === null) return;
      const started = performance.now();
      this.show();
      this.#lastCostMs = performance.now() - started;
    };
    // A page that nobody sees has no frames.
    if (document.hidden) onFrame();
    else requestAnimationFrame(onFrame);
  }

  #render() {
    const rest = this.#text.slice(this.#settled);
    const blocks = blocksOf(rest);
    this.#defines ||= blocks.some(({ type }) => type === 'def');
    const settled = blocks.slice(0, settledBlocks(blocks));
    const raw = rawOf(settled);
    // Where it is not what was read, nothing is settled: slower, and right.
    if (!rest.startsWith(raw)) {
      this.#growth = null;
      patchChildren(this.#place, this.#anchor, nodesOf(blocks));
      return;
    }
    const nodes = nodesOf(settled);
    const kept = nodes.childNodes.length;
    this.#patch(nodes, blocks.slice(settled.length), this.#settled + raw.length);
    for (let count = 0; count < kept; count += 1) {
      this.#anchor = this.#anchor === null ? this.#place.firstChild : this.#anchor.nextSibling;
    }
    this.#settled += raw.length;
  }

  /**
   * Shows nodes that stay, and behind them blocks that may change. Of a list or a table that only grew, its last rows.
   *
   * @param {DocumentFragment} settled
   * @param {readonly import('./markdown.mjs').Token[]} open
   * @param {number} start where they begin in the text
   */
  #patch(settled, open, start) {
    const before = open.slice(0, -1);
    const last = open.at(-1);
    const growth = growthOf(last, start + rawOf(before).length);
    const kept = keptRows(this.#growth, growth);
    const shown = this.#place.lastElementChild;
    const rows = rowsPlace(shown);
    const isThere = rows?.children.length === this.#growth?.rows.length;
    this.#growth = growth;
    if (last === undefined || kept === 0 || rows === null || !isThere) {
      settled.append(nodesOf(open));
      patchChildren(this.#place, this.#anchor, settled);
      return;
    }
    settled.append(nodesOf(before));
    patchChildren(this.#place, this.#anchor, settled, shown);
    const grown = rowsPlace(nodesOf([withoutRows(last, kept)]).firstElementChild);
    if (grown === null) return;
    // Lists have a line break before their first row, and tables have none.
    const startsWithText = grown.firstChild instanceof Text;
    const anchor = startsWithText ? rows.children[kept - 1] : rows.children[kept]?.previousSibling;
    patchChildren(rows, anchor ?? null, grown);
  }
}

/** @param {readonly import('./markdown.mjs').Token[]} blocks */
const rawOf = (blocks) => blocks.map(({ raw }) => raw).join('');

/**
 * How many of the blocks no further text can change.
 *
 * @param {readonly import('./markdown.mjs').Token[]} blocks
 */
function settledBlocks(blocks) {
  let open = 0;
  for (let index = blocks.length - 1; index >= 0; index -= 1) {
    if (blocks[index]?.type !== 'space') open += 1;
    if (open > OPEN_BLOCKS) return index + 1;
  }
  return 0;
}
