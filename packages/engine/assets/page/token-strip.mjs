/** The tokens of an answer in their order, one of which is chosen. */

import { element } from './elements.mjs';

/** @typedef {import('./expert-counts.mjs').TokenRouting} TokenRouting */

/** Options at once: the strip of a long prompt would be slower than the answer. The latest tokens are kept. */
const MOST_TOKENS = 4000;

export class TokenStrip {
  /** @type {HTMLElement} */
  #strip;
  /** @type {(token: TokenRouting) => void} */
  #choose;
  /** @type {readonly TokenRouting[]} */
  #tokens = [];
  #chosen = -1;

  /**
   * @param {HTMLElement} strip
   * @param {(token: TokenRouting) => void} choose called with the token that a person points at
   */
  constructor(strip, choose) {
    this.#strip = strip;
    this.#choose = choose;
    strip.addEventListener('pointerover', (event) => this.#onPointer(event));
    strip.addEventListener('pointerdown', (event) => this.#onPointer(event));
    strip.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /**
   * @param {readonly TokenRouting[]} tokens
   * @param {number | null} promptTokens how many of the first ones are the prompt's
   */
  show(tokens, promptTokens) {
    this.#tokens = tokens.slice(-MOST_TOKENS);
    this.#chosen = -1;
    this.#strip.removeAttribute('aria-activedescendant');
    this.#strip.replaceChildren(
      ...this.#tokens.map(({ position, text }, index) =>
        element('span', promptTokens !== null && position < promptTokens ? 'prompt' : '', [visible(text)], {
          role: 'option',
          id: `token-${index}`,
          'aria-selected': 'false',
        }),
      ),
    );
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    const { target } = event;
    if (!(target instanceof HTMLElement) || target === this.#strip) return;
    this.#select([...this.#strip.children].indexOf(target));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const last = this.#tokens.length - 1;
    /** @type {Record<string, number>} */
    const moves = { ArrowRight: this.#chosen + 1, ArrowLeft: this.#chosen - 1, Home: 0, End: last };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#select(Math.max(0, Math.min(last, next)));
  }

  /** @param {number} index */
  #select(index) {
    const token = this.#tokens[index];
    if (token === undefined || index === this.#chosen) return;
    this.#strip.children[this.#chosen]?.setAttribute('aria-selected', 'false');
    this.#chosen = index;
    const option = this.#strip.children[index];
    option?.setAttribute('aria-selected', 'true');
    option?.scrollIntoView({ block: 'nearest' });
    this.#strip.setAttribute('aria-activedescendant', `token-${index}`);
    this.#choose(token);
  }
}

/**
 * A token's text so that it is seen: spaces and line breaks too.
 *
 * @param {string} text
 */
const visible = (text) => text.replaceAll('\n', '⏎').replaceAll(' ', '·');
