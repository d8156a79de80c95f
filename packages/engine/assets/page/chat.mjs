/** The conversation that is open: what a person does to it, and the answer that comes. */

import { streamAnswer } from './answer-stream.mjs';
import { AnswerView } from './answer-view.mjs';
import { hasAnswered, messagesOf, newAnswer, newConversation, titleOf } from './conversation.mjs';
import { QuestionView } from './question-view.mjs';
import { requestFields } from './settings.mjs';

/** @typedef {import('./conversation.mjs').Entry} Entry */
/** @typedef {import('./conversation.mjs').ModelEntry} ModelEntry */
/** @typedef {import('./conversation.mjs').Conversation} Conversation */

/** Why a request was ended by the person rather than by a failure. */
const STOPPED = new DOMException('stopped', 'AbortError');
/** An answer is stored at least this often while it comes, in milliseconds. */
const STORE_EVERY_MS = 2000;
const LEFT = 'The page was left before the answer was over · retry, or ask something else';

/**
 * What the chat tells the rest of the page.
 *
 * @typedef {object} ChatHost
 * @property {HTMLElement} turns gets an article for each entry
 * @property {import('./follow-end.mjs').FollowEnd} follow
 * @property {import('./composer.mjs').Composer} composer
 * @property {import('./expert-panel.mjs').ExpertPanel} experts
 * @property {() => import('./settings.mjs').Settings} settings
 * @property {(conversation: Conversation) => Promise<void>} store
 * @property {(conversation: Conversation) => void} shown another conversation is open, or it has another title
 * @property {(text: string) => void} announce for screen readers
 * @property {(text: string) => void} usage
 * @property {() => void} failed the server may be away
 */

export class Chat {
  /** @type {ChatHost} */
  #host;
  #conversation = newConversation();
  /** @type {AbortController | null} */
  #running = null;
  /** Resolves when no answer comes. */
  #idle = Promise.resolve();

  /** @param {ChatHost} host */
  constructor(host) {
    this.#host = host;
  }

  get id() {
    return this.#conversation.id;
  }

  /**
   * Shows a conversation, a new one where none is given. An answer that comes is stopped and kept.
   *
   * @param {Conversation} [conversation]
   */
  async open(conversation = newConversation()) {
    this.stop();
    await this.#idle;
    this.#conversation = conversation;
    this.#host.usage('');
    this.#host.turns.replaceChildren();
    for (const entry of conversation.entries) {
      if (entry.role === 'user') this.#addQuestion(entry);
      else this.#addAnswer(entry).finish();
    }
    this.#host.follow.toEnd();
    this.#host.shown(conversation);
  }

  stop() {
    this.#running?.abort(STOPPED);
  }

  /** @param {string} question */
  send(question) {
    if (this.#running !== null) return;
    /** @type {import('./conversation.mjs').UserEntry} */
    const entry = { role: 'user', content: question };
    this.#conversation.entries.push(entry);
    this.#conversation.title = titleOf(this.#conversation.entries);
    this.#addQuestion(entry);
    void this.#host.store(this.#conversation);
    this.#host.shown(this.#conversation);
    this.#start();
  }

  #start() {
    this.#idle = this.#answer();
  }

  async #answer() {
    const host = this.#host;
    const conversation = this.#conversation;
    const controller = new AbortController();
    this.#running = controller;
    host.composer.setAnswering(true);
    const messages = messagesOf(conversation.entries, host.settings().system);
    const entry = { ...newAnswer(), outcome: /** @type {ModelEntry['outcome']} */ ('stopped'), note: LEFT };
    conversation.entries.push(entry);
    const view = this.#addAnswer(entry);
    host.follow.toEnd();
    host.announce('The answer comes');
    const storing = setInterval(() => void host.store(conversation), STORE_EVERY_MS);
    let promptTokens = null;
    try {
      const started = performance.now();
      await host.experts.begin(controller.signal);
      controller.signal.throwIfAborted();
      const finish = await streamAnswer({ ...requestFields(host.settings()), messages }, controller, {
        ...listenerOf(entry, view),
        routed: (routed) => host.experts.add(routed),
        usage: ({ prompt_tokens: prompt, completion_tokens: generated }) => {
          promptTokens = prompt;
          const seconds = (performance.now() - started) / 1000;
          host.usage(`${prompt} prompt tokens, ${generated} generated in ${seconds.toFixed(2)} s`);
        },
      });
      entry.outcome = finish === 'length' ? 'cut' : 'done';
      entry.note =
        finish === 'length' ? 'Cut off · the answer reached the longest that it may be · ask the model to go on' : '';
    } catch (error) {
      this.#noteFailure(entry, error);
    } finally {
      clearInterval(storing);
      view.finish();
      this.#running = null;
      host.composer.setAnswering(false);
      host.announce(entry.content === '' ? entry.note : `The answer: ${entry.content}`);
      conversation.updated = Date.now();
      void host.store(conversation);
      host.shown(conversation);
      void host.experts.end(promptTokens);
    }
  }

  /**
   * @param {ModelEntry} entry
   * @param {unknown} error
   */
  #noteFailure(entry, error) {
    const stopped = error === STOPPED;
    const message = error instanceof Error ? error.message : String(error);
    entry.outcome = stopped ? 'stopped' : 'failed';
    const kept = hasAnswered(entry);
    if (stopped) {
      const fate = kept ? 'the answer so far stays in the conversation' : 'nothing was answered yet';
      entry.note = `Stopped · ${fate} · retry, or ask something else`;
    } else {
      entry.note = kept ? `${message} (the answer so far stays in the conversation)` : message;
    }
    // Who writes the next message already keeps it, and who stopped an answer half-way has read enough.
    const question = this.#conversation.entries.at(-2);
    if (!(stopped && kept) && question?.role === 'user' && this.#host.composer.text === '') {
      this.#host.composer.text = question.content;
    }
    if (!stopped) this.#host.failed();
  }

  /** @param {import('./conversation.mjs').UserEntry} entry */
  #addQuestion(entry) {
    const view = new QuestionView(entry, (edited, text) => {
      if (this.#running !== null) return;
      this.#goBackTo(edited.node);
      this.send(text);
    });
    this.#host.turns.append(view.node);
  }

  /** @param {ModelEntry} entry */
  #addAnswer(entry) {
    const actions = {
      /** @param {AnswerView} retried */
      retry: (retried) => {
        if (this.#running !== null) return;
        const question = this.#goBackTo(retried.node).at(-1);
        if (question?.role === 'user' && this.#host.composer.text === question.content) this.#host.composer.text = '';
        this.#start();
      },
      /** @type {import('./answer-view.mjs').AnswerActions['results']} */
      results: (_, results) => {
        if (this.#running !== null) return;
        for (const [index, call] of entry.calls.entries()) call.result = results[index] ?? '';
        void this.open(this.#conversation).then(() => this.#start());
      },
    };
    const view = new AnswerView(entry, actions, this.#host.follow.around);
    this.#host.turns.append(view.node);
    return view;
  }

  /**
   * Takes an entry and those after it out of the conversation. Where that would lose later questions, the conversation
   * stays in the list as it is, and a copy of its beginning goes on.
   *
   * @param {HTMLElement} node of the entry
   * @returns {readonly Entry[]} what is left
   */
  #goBackTo(node) {
    const index = [...this.#host.turns.children].indexOf(node);
    const { entries } = this.#conversation;
    if (entries.slice(index + 1).some(({ role }) => role === 'user')) {
      const copy = structuredClone(entries.slice(0, index));
      this.#conversation = { ...newConversation(), title: titleOf(copy), entries: copy };
      this.#host.shown(this.#conversation);
    } else {
      entries.length = index;
    }
    while (this.#host.turns.children.length > index) this.#host.turns.lastElementChild?.remove();
    return this.#conversation.entries;
  }
}

/**
 * Writes what comes into the entry and shows it.
 *
 * @param {ModelEntry} entry
 * @param {AnswerView} view
 */
function listenerOf(entry, view) {
  return {
    /** @param {string} text */
    reasoning: (text) => {
      entry.reasoning += text;
      view.showReasoning(text);
    },
    /** @param {string} text */
    content: (text) => {
      entry.content += text;
      view.showContent(text);
    },
    /** @param {import('./answer-stream.mjs').CallPiece} piece */
    call: ({ index, id, name, arguments: args }) => {
      entry.calls[index] ??= { id: id ?? '', name: name ?? '', arguments: '', result: null };
      entry.calls[index].arguments += args;
      view.showCalls();
    },
  };
}
