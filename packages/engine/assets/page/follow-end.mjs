/** Keeps the end of the conversation in view for whoever looks at it, and leaves everyone else where they are. */

/** Within this many pixels of the end a person looks at the end. */
const NEAR = 40;

export class FollowEnd {
  /** @type {HTMLElement} */
  #log;
  /** @type {HTMLButtonElement} */
  #latest;
  #follows = true;
  #lastTop = 0;

  /**
   * @param {HTMLElement} log what scrolls
   * @param {HTMLButtonElement} latest goes to the end; hidden while it is in view
   */
  constructor(log, latest) {
    this.#log = log;
    this.#latest = latest;
    log.addEventListener('scroll', () => this.#look(), { passive: true });
    // Boxes grow without a change of ours: fonts, code that is opened, a turned phone.
    new ResizeObserver(() => this.#keep()).observe(log);
    log.addEventListener('toggle', () => this.#look(), { capture: true });
    latest.addEventListener('click', () => {
      this.toEnd();
      log.focus({ preventScroll: true });
    });
  }

  /**
   * Changes the log.
   *
   * @param {() => void} change
   */
  around = (change) => {
    change();
    this.#keep();
  };

  toEnd() {
    this.#follows = true;
    this.#keep();
  }

  #keep() {
    if (this.#follows) this.#log.scrollTop = this.#log.scrollHeight;
    this.#show();
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    const distance = scrollHeight - scrollTop - clientHeight;
    // A finger that begins to scroll back is near the end for a while.
    const goesBack = scrollTop < this.#lastTop && distance >= 1;
    this.#follows = distance < NEAR && !goesBack;
    this.#lastTop = scrollTop;
    this.#show();
  }

  #show() {
    this.#latest.hidden = this.#follows;
  }
}
