/** A person's message on the page, which can be edited in place. */

import { copyFrom } from './clipboard.mjs';
import { button, element } from './elements.mjs';

/** @typedef {import('./conversation.mjs').UserEntry} UserEntry */

export class QuestionView {
  /** @type {UserEntry} */
  #entry;
  /** @type {(view: QuestionView, text: string) => void} */
  #edit;
  #text = element('div', 'text');
  #tools;

  /**
   * @param {UserEntry} entry
   * @param {(view: QuestionView, text: string) => void} edit called with the edited text
   */
  constructor(entry, edit) {
    this.#entry = entry;
    this.#edit = edit;
    this.#text.textContent = entry.content;
    const copy = button('Copy', 'copy', () => void copyFrom(copy, entry.content));
    copy.setAttribute('aria-label', 'Copy your message');
    const change = button('Edit', 'edit', () => this.#startEdit());
    change.setAttribute('aria-label', 'Edit your message');
    this.#tools = element('div', 'tools', [copy, change]);
    /** @readonly */
    this.node = element('article', '', [element('h2', 'who', ['You']), this.#text, this.#tools], {
      'data-role': 'you',
      'aria-label': 'You',
    });
  }

  #startEdit() {
    const field = element('textarea', 'edited', [], { rows: '4', 'aria-label': 'edited message' });
    field.value = this.#entry.content;
    const end = () => {
      form.replaceWith(this.#text, this.#tools);
      this.#tools.querySelector('button')?.focus();
    };
    const send = () => {
      const text = field.value.trim();
      if (text !== '') this.#edit(this, text);
    };
    field.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      end();
    });
    const buttons = element('div', 'tools', [button('Send edit', 'send-edit', send), button('Cancel', 'cancel', end)]);
    const form = element('div', 'edit-form', [field, buttons]);
    this.#tools.remove();
    this.#text.replaceWith(form);
    field.focus();
  }
}
