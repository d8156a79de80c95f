/** An answer on the page, while it comes and afterwards. */

import { copyFrom } from './clipboard.mjs';
import { button, element } from './elements.mjs';
import { StreamedMarkdown } from './streamed-markdown.mjs';
import { ToolCallView } from './tool-call-view.mjs';

/** @typedef {import('./conversation.mjs').ModelEntry} ModelEntry */

/**
 * What a person can do with an answer.
 *
 * @typedef {object} AnswerActions
 * @property {(view: AnswerView) => void} retry
 * @property {(view: AnswerView, results: readonly string[]) => void} results one text for each call
 */

export class AnswerView {
  /** @type {ModelEntry} */
  #entry;
  /** @type {AnswerActions} */
  #actions;
  /** @type {(change: () => void) => void} */
  #around;
  #thoughts = element('details', 'thoughts', [element('summary', '', ['Thoughts'])]);
  /** @type {StreamedMarkdown} */
  #reasoning;
  /** @type {StreamedMarkdown} */
  #content;
  #calls = element('div', 'calls');
  /** @type {ToolCallView[]} */
  #callViews = [];

  /**
   * @param {ModelEntry} entry what it has is shown; what comes goes through the methods
   * @param {AnswerActions} actions
   * @param {(change: () => void) => void} around called with every later change
   */
  constructor(entry, actions, around) {
    this.#entry = entry;
    this.#actions = actions;
    this.#around = around;
    const reasoning = element('div', 'markdown');
    const content = element('div', 'markdown body');
    this.#thoughts.append(reasoning);
    this.#thoughts.hidden = true;
    this.#reasoning = new StreamedMarkdown(reasoning, around);
    this.#content = new StreamedMarkdown(content, around);
    /** @readonly */
    this.node = element('article', '', [element('h2', 'who', ['Model']), this.#thoughts, content, this.#calls], {
      'data-role': 'model',
      'aria-label': 'Model',
      'aria-busy': 'true',
    });
    if (entry.reasoning !== '') this.showReasoning(entry.reasoning);
    if (entry.content !== '') this.showContent(entry.content);
    this.showCalls();
  }

  /** @param {string} text more of it */
  showReasoning(text) {
    this.#thoughts.hidden = false;
    this.#reasoning.append(text);
  }

  /** @param {string} text more of it */
  showContent(text) {
    this.#content.append(text);
  }

  /** Shows the entry's calls as they are now. */
  showCalls() {
    this.#around(() => {
      for (const [index, call] of this.#entry.calls.entries()) {
        const known = this.#callViews[index];
        if (known !== undefined) {
          known.update();
          continue;
        }
        const view = new ToolCallView(call);
        this.#callViews.push(view);
        this.#calls.append(view.node);
      }
    });
  }

  /** The answer is over: shows how it ended and what can be done with it. */
  finish() {
    this.#reasoning.finish();
    this.#content.finish();
    const { calls, note, outcome } = this.#entry;
    const waits = calls.some(({ result }) => result === null);
    this.#around(() => {
      for (const view of this.#callViews) view.finish();
      if (waits) this.#calls.append(button('Send results', 'send-results', () => this.#sendResults()));
      if (note !== '') {
        const isError = outcome === 'failed';
        this.node.append(
          element('p', isError ? 'ending error' : 'ending', [note], { role: isError ? 'alert' : 'status' }),
        );
      }
      this.node.append(this.#tools());
    });
    this.node.removeAttribute('aria-busy');
    this.node.dataset['done'] = 'true';
  }

  #tools() {
    const copy = button('Copy', 'copy', () => void copyFrom(copy, this.#entry.content));
    copy.setAttribute('aria-label', 'Copy the answer');
    const retry = button('Retry', 'retry', () => this.#actions.retry(this));
    return element('div', 'tools', this.#entry.content === '' ? [retry] : [copy, retry]);
  }

  #sendResults() {
    this.#actions.results(
      this,
      this.#callViews.map(({ written }) => written),
    );
  }
}
