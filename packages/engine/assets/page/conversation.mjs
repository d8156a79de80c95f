/** What was said: a list of entries, and the messages that the model gets of them. */

/**
 * A function that the model called, and what the person wrote as its result: null until it was sent.
 *
 * @typedef {{ id: string, name: string, arguments: string, result: string | null }} ToolCall
 */

/** @typedef {{ role: 'user', content: string }} UserEntry */

/**
 * An answer, whole or in part. `outcome` says how it ended, `note` what a person should know of that.
 *
 * @typedef {object} ModelEntry
 * @property {'model'} role
 * @property {string} reasoning
 * @property {string} content
 * @property {ToolCall[]} calls
 * @property {'done' | 'cut' | 'stopped' | 'failed'} outcome
 * @property {string} note empty where there is nothing to say
 */

/** @typedef {UserEntry | ModelEntry} Entry */

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {number} updated milliseconds since 1970
 * @property {Entry[]} entries
 */

/** @typedef {{ role: string, content: string, reasoning?: string, tool_call_id?: string, tool_calls?: object[] }} Message */

const TITLE_LENGTH = 60;

/** @returns {Conversation} */
export function newConversation() {
  return { id: newId(), title: '', updated: Date.now(), entries: [] };
}

/** `crypto.randomUUID` is there in secure contexts only, and a server in the house has no certificate. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @returns {ModelEntry} */
export function newAnswer() {
  return { role: 'model', reasoning: '', content: '', calls: [], outcome: 'done', note: '' };
}

/**
 * Whether the model has said anything.
 *
 * @param {Entry | undefined} entry
 * @returns {entry is ModelEntry}
 */
export function hasAnswered(entry) {
  if (entry?.role !== 'model') return false;
  return entry.outcome === 'done' || entry.content !== '' || entry.reasoning !== '' || entry.calls.length > 0;
}

/**
 * The first question's first line, shortened.
 *
 * @param {readonly Entry[]} entries
 */
export function titleOf(entries) {
  const first = entries.find(({ role }) => role === 'user');
  const line = (first?.content ?? '').trim().split('\n', 1)[0] ?? '';
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH - 1)}…` : line;
}

/**
 * The messages of entries, for the model: what it has answered a part of, and the last question.
 *
 * @param {readonly Entry[]} entries
 * @param {string} system empty for none
 * @returns {Message[]}
 */
export function messagesOf(entries, system) {
  /** @type {Message[]} */
  const messages = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  for (const [index, entry] of entries.entries()) {
    if (entry.role === 'model') {
      if (hasAnswered(entry)) messages.push(...answerMessages(entry));
      continue;
    }
    const isLast = index === entries.length - 1;
    if (isLast || hasAnswered(entries[index + 1])) messages.push({ role: 'user', content: entry.content });
  }
  return messages;
}

/**
 * Thoughts are sent where they are all that there is, and before calls, whose results the model reads with them. A call
 * without a result is left out: the server takes none.
 *
 * @param {ModelEntry} entry
 * @returns {Message[]}
 */
function answerMessages({ content, reasoning, calls }) {
  const answered = calls.filter(({ result }) => result !== null);
  const sendsReasoning = reasoning !== '' && (content === '' || answered.length > 0);
  return [
    {
      role: 'assistant',
      content,
      ...(sendsReasoning ? { reasoning } : {}),
      ...(answered.length === 0
        ? {}
        : {
            tool_calls: answered.map(({ id, name, arguments: args }) => ({
              id,
              type: 'function',
              function: { name, arguments: args },
            })),
          }),
    },
    ...answered.map(({ id, result }) => ({ role: 'tool', tool_call_id: id, content: result ?? '' })),
  ];
}

/**
 * Whether what was stored is a conversation: another version of the page may have stored it.
 *
 * @param {unknown} value
 * @returns {value is Conversation}
 */
export function isConversation(value) {
  if (typeof value !== 'object' || value === null) return false;
  const { id, title, updated, entries } = /** @type {Record<string, unknown>} */ (value);
  const isHead = typeof id === 'string' && typeof title === 'string' && typeof updated === 'number';
  return isHead && Array.isArray(entries) && entries.every(isEntry);
}

/** @param {unknown} value */
function isEntry(value) {
  if (typeof value !== 'object' || value === null) return false;
  const { role, content, reasoning, calls, outcome, note } = /** @type {Record<string, unknown>} */ (value);
  if (typeof content !== 'string') return false;
  if (role === 'user') return true;
  const isText = typeof reasoning === 'string' && typeof outcome === 'string' && typeof note === 'string';
  return role === 'model' && isText && Array.isArray(calls);
}
