/** Where a person writes: a field of several lines, and the button that sends, or stops the answer that comes. */

/** Pixels; beyond it the field scrolls. */
const TALLEST = 200;

export class Composer {
  /** @type {HTMLTextAreaElement} */
  #field;
  /** @type {HTMLButtonElement} */
  #send;
  /** @type {{ send: (text: string) => void, stop: () => void }} */
  #actions;
  #isAnswering = false;

  /**
   * @param {{ form: HTMLFormElement, field: HTMLTextAreaElement, send: HTMLButtonElement }} parts
   * @param {{ send: (text: string) => void, stop: () => void }} actions
   */
  constructor({ form, field, send }, actions) {
    this.#field = field;
    this.#send = send;
    this.#actions = actions;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    field.addEventListener('input', () => this.#fit());
    field.addEventListener('keydown', (event) => {
      // Return ends a word of an input method, and is the only way to a new line where keys are on the screen.
      const isWord = event.isComposing || matchMedia('(pointer: coarse)').matches;
      if (event.key !== 'Enter' || event.shiftKey || isWord) return;
      event.preventDefault();
      this.#submit();
    });
    send.addEventListener('click', (event) => {
      if (!this.#isAnswering) return;
      // The button may be "Send" again before this click is over.
      event.preventDefault();
      this.#actions.stop();
    });
  }

  get text() {
    return this.#field.value;
  }

  set text(text) {
    this.#field.value = text;
    this.#fit();
  }

  focus() {
    this.#field.focus();
  }

  /** @param {boolean} isAnswering whether the button stops an answer */
  setAnswering(isAnswering) {
    this.#isAnswering = isAnswering;
    this.#send.textContent = isAnswering ? 'Stop' : 'Send';
    // Return in the message's field must not press Stop.
    this.#send.type = isAnswering ? 'button' : 'submit';
  }

  #submit() {
    const text = this.#field.value.trim();
    if (this.#isAnswering || text === '') return;
    this.text = '';
    this.#actions.send(text);
  }

  #fit() {
    this.#field.style.height = 'auto';
    const borders = this.#field.offsetHeight - this.#field.clientHeight;
    this.#field.style.height = `${Math.min(TALLEST, this.#field.scrollHeight + borders)}px`;
  }
}
