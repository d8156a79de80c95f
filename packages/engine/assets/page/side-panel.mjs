/**
 * A panel at the side: beside the conversation where there is room, over it where there is none. Over it, everything else
 * waits until the panel is closed, and the button that opened it gets the focus back.
 */

import { byId } from './elements.mjs';

export class SidePanel {
  /** @type {HTMLElement} */
  #panel;
  /** @type {HTMLButtonElement} */
  #opener;
  /** @type {MediaQueryList} */
  #room;
  /** @type {readonly HTMLElement[]} */
  #rest;
  /** The landmark that it is beside the conversation. Over it, it is a dialog. */
  #landmark;

  /**
   * @param {string} id the panel's; its button is `open-ID`
   * @param {string} room the media query for room beside the conversation
   */
  constructor(id, room) {
    this.#panel = byId(id, HTMLElement);
    this.#opener = byId(`open-${id}`, HTMLButtonElement);
    this.#room = matchMedia(room);
    this.#landmark = this.#panel.getAttribute('role') ?? 'region';
    this.#rest = [...document.body.children].filter(
      /** @returns {other is HTMLElement} */ (other) => other instanceof HTMLElement && other !== this.#panel,
    );
    this.#opener.addEventListener('click', () => (this.isOpen ? this.close() : this.#open()));
    this.#panel.querySelector('.close')?.addEventListener('click', () => this.close());
    this.#room.addEventListener('change', () => this.#arrange(this.#room.matches));
    this.#arrange(this.#room.matches);
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  /** Whether it hides the conversation. */
  get isOver() {
    return this.isOpen && !this.#room.matches;
  }

  close() {
    const wasOver = this.isOver;
    this.#arrange(false);
    if (wasOver) this.#opener.focus();
  }

  #open() {
    this.#arrange(true);
    const first = this.#panel.querySelector('button');
    if (this.isOver) first?.focus();
  }

  /** @param {boolean} open */
  #arrange(open) {
    this.#panel.hidden = !open;
    this.#opener.setAttribute('aria-expanded', String(open));
    const covers = this.isOver;
    document.body.classList.toggle(`over-${this.#panel.id}`, covers);
    this.#panel.setAttribute('role', covers ? 'dialog' : this.#landmark);
    // Landmarks have no such attribute, not even with false.
    if (covers) this.#panel.setAttribute('aria-modal', 'true');
    else this.#panel.removeAttribute('aria-modal');
    for (const other of this.#rest) other.inert = covers;
  }
}
