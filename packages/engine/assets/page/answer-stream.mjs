/** One answer as it comes from the server. */

import { eventData } from './event-stream.mjs';
import { ask, refusalOf } from './server.mjs';

/** The server sends a comment at least every 10 s while it computes: a minute of silence is a lost connection. */
const LONGEST_SILENCE_MS = 60_000;

/**
 * What the routers chose for a run of positions, as the server's `routed_experts` tells it.
 *
 * @typedef {object} RoutedExperts
 * @property {number} position the first position; 0 is the prompt's first token
 * @property {readonly string[]} tokens
 * @property {readonly { layer: number, experts: readonly (readonly number[])[], weights: readonly (readonly number[])[] }[]} layers
 */

/**
 * @typedef {{ readonly index: number, readonly id?: string, readonly name?: string, readonly arguments: string }} CallPiece
 */

/**
 * What listens to an answer.
 *
 * @typedef {object} AnswerListener
 * @property {(text: string) => void} reasoning
 * @property {(text: string) => void} content
 * @property {(piece: CallPiece) => void} call
 * @property {(routed: RoutedExperts) => void} routed
 * @property {(usage: { readonly prompt_tokens: number, readonly completion_tokens: number }) => void} usage
 */

/**
 * Asks for an answer and tells what comes. Returns its finish reason.
 *
 * @param {object} body the request, without `stream`
 * @param {AbortController} controller ends the request; its reason is what is thrown then
 * @param {AnswerListener} listener
 * @returns {Promise<string>}
 * @throws {Error} with words for a person
 */
export async function streamAnswer(body, controller, listener) {
  const { signal } = controller;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const seconds = LONGEST_SILENCE_MS / 1000;
      controller.abort(
        new Error(
          `The server fell silent · found nothing for ${seconds} seconds · check the server and the network, then send it again`,
        ),
      );
    }, LONGEST_SILENCE_MS);
  };
  /**
   * The error of a step, or the reason why the request was ended.
   *
   * @param {string} words
   * @returns {(error: unknown) => never}
   */
  const failed = (words) => (error) => {
    if (signal.aborted) throw signal.reason;
    const found = error instanceof Error ? error.message : String(error);
    throw new Error(
      `${words} · found ${found} · check that the server runs and the network holds, then send it again`,
      {
        cause: error,
      },
    );
  };
  try {
    alive();
    const options = {
      method: 'POST',
      signal,
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    };
    const answer = await ask('v1/chat/completions', options, alive).catch(failed('The server cannot be reached'));
    if (!answer.ok) throw new Error(await refusalOf(answer));
    return await readEvents(eventData(answer.body ?? new Blob([]).stream(), alive), listener, failed);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {AsyncGenerator<string, void, undefined>} data
 * @param {AnswerListener} listener
 * @param {(words: string) => (error: unknown) => never} failed
 */
async function readEvents(data, listener, failed) {
  /** @type {string | null} */
  let finish = null;
  for (;;) {
    const { value, done } = await data.next().catch(failed('The connection broke in the middle of the answer'));
    if (done) break;
    if (value === '[DONE]') return finish ?? 'stop';
    const event = await Promise.resolve(value)
      .then((text) => JSON.parse(text))
      .catch(failed('The answer cannot be read'));
    if (event.error) {
      throw new Error(event.error.message ?? 'The server broke off the answer · found no reason · send it again');
    }
    finish = event.choices?.[0]?.finish_reason ?? finish;
    tell(event, listener);
  }
  if (finish !== null) return finish;
  throw new Error(
    'The answer is not whole · found the end of the connection before the end of the answer · send it again',
  );
}

/**
 * What a chunk of chat completions may have.
 *
 * @typedef {object} Chunk
 * @property {readonly Choice[]} [choices]
 * @property {{ prompt_tokens: number, completion_tokens: number } | null} [usage]
 *
 * @typedef {object} Choice
 * @property {{ reasoning?: string, content?: string, tool_calls?: readonly CallDelta[] }} [delta]
 * @property {readonly RoutedExperts[]} [routed_experts]
 *
 * @typedef {{ index: number, id?: string, function?: { name?: string, arguments?: string } }} CallDelta
 */

/**
 * @param {Chunk} chunk
 * @param {AnswerListener} listener
 */
function tell({ choices, usage }, listener) {
  const choice = choices?.[0];
  if (choice?.delta?.reasoning) listener.reasoning(choice.delta.reasoning);
  if (choice?.delta?.content) listener.content(choice.delta.content);
  for (const { index, id, function: called } of choice?.delta?.tool_calls ?? []) {
    listener.call({
      index,
      arguments: called?.arguments ?? '',
      ...(id === undefined ? {} : { id }),
      ...(called?.name === undefined ? {} : { name: called.name }),
    });
  }
  for (const routed of choice?.routed_experts ?? []) listener.routed(routed);
  if (usage) listener.usage(usage);
}
