/** A tool that the model called: its name, its arguments as they come, and a field for the result. */

import { element } from './elements.mjs';

/** @typedef {import('./conversation.mjs').ToolCall} ToolCall */

export class ToolCallView {
  /** @type {ToolCall} */
  #call;
  #arguments = element('code', '');
  #result = element('textarea', '', [], { rows: '2' });

  /** @param {ToolCall} call */
  constructor(call) {
    this.#call = call;
    this.#result.setAttribute('aria-label', `result of ${call.name}`);
    const head = element('p', 'call-head', ['Called ', element('code', '', [call.name])]);
    const pre = element('pre', '', [this.#arguments]);
    const box = element('div', 'scrolling', [pre], {
      tabindex: '0',
      role: 'region',
      'aria-label': `arguments of ${call.name}`,
    });
    /** @readonly */
    this.node = element('div', 'call', [head, box]);
    this.update();
  }

  /** Shows the arguments as they are now. */
  update() {
    this.#arguments.textContent = this.#call.arguments;
  }

  /** The call is over: shows its arguments in lines, and the result, or a field for it. */
  finish() {
    this.#arguments.textContent = inLines(this.#call.arguments);
    const { result } = this.#call;
    this.node.append(
      result === null
        ? element('label', '', ['Result', this.#result])
        : element('div', 'result', [element('p', 'call-head', ['Result']), element('pre', '', [result])]),
    );
  }

  /** What the person wrote as the result. */
  get written() {
    return this.#result.value;
  }
}

/** @param {string} json */
function inLines(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
