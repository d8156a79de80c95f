/** Requests to the server that the page came from. */

/** State and expert load never hold up a question for longer. */
const SIDE_REQUEST_MS = 3000;
const KEY = 'apiKey';

/**
 * Tokens sent to each expert of a layer.
 *
 * @typedef {{ readonly layer: number, readonly tokens: readonly number[] }} LayerLoad
 */

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @param {string | null} [key]
 */
function request(path, options, key = sessionStorage.getItem(KEY)) {
  const headers = { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) };
  return fetch(path, { ...options, headers });
}

/**
 * Sends a request; asks for an API key where the server wants one, and keeps it once the server has taken it.
 *
 * @param {string} path
 * @param {RequestInit} options
 * @param {() => void} alive called once the person has answered
 */
export async function ask(path, options, alive) {
  const answer = await request(path, options);
  if (answer.status !== 401) return answer;
  const key = prompt('This server wants an API key');
  if (!key) return answer;
  alive();
  const second = await request(path, options, key);
  if (second.status === 401) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, key);
  return second;
}

/**
 * What the server said in an answer that is no success, in words for a person.
 *
 * @param {Response} answer
 * @returns {Promise<string>}
 */
export async function refusalOf(answer) {
  const error = await answer.json().then(
    (body) => body?.error,
    () => null,
  );
  if (typeof error?.message !== 'string') {
    return `The server refused the question · found HTTP ${answer.status} ${answer.statusText} · check the server and what stands before it, then send it again`;
  }
  return error.code === 'context_length_exceeded' ? `${error.message} · or begin a new chat` : error.message;
}

/**
 * Tokens per expert since the model was loaded; null where the server does not say.
 *
 * @param {AbortSignal} [signal]
 * @returns {Promise<readonly LayerLoad[] | null>}
 */
export async function expertLoad(signal) {
  const limits = [AbortSignal.timeout(SIDE_REQUEST_MS), ...(signal ? [signal] : [])];
  try {
    const answer = await request('expert-load', { signal: AbortSignal.any(limits) });
    return answer.ok ? (await answer.json()).layers : null;
  } catch {
    return null;
  }
}

/**
 * The server's state, in words: `ready` where it answers questions.
 *
 * @returns {Promise<string>}
 */
export async function serverState() {
  try {
    const answer = await fetch('health', { signal: AbortSignal.timeout(SIDE_REQUEST_MS) });
    if (answer.ok) return 'ready';
    const message = await answer.json().then(
      (body) => body?.error?.message,
      () => null,
    );
    return typeof message === 'string' ? message : `HTTP ${answer.status}`;
  } catch {
    return 'the server does not answer';
  }
}
