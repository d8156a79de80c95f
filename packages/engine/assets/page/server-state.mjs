/** Watches whether the server is there. */

import { serverState } from './server.mjs';

/** Milliseconds between looks: at a server that is ready, and at one that is expected. */
const EVERY_MS = { ready: 10_000, expected: 500 };

/**
 * Writes the server's state into an element, for as long as the page lives.
 *
 * @param {HTMLElement} place
 * @returns {{ readonly check: () => void }} `check` looks at once
 */
export function watchServerState(place) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const look = async () => {
    clearTimeout(timer);
    const state = await serverState();
    if (place.textContent !== state) place.textContent = state;
    clearTimeout(timer);
    timer = setTimeout(look, state === 'ready' ? EVERY_MS.ready : EVERY_MS.expected);
  };
  void look();
  return { check: () => void look() };
}
