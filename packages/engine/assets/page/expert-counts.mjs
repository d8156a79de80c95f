/** Tokens that experts got: of the server's counters, and of traced tokens. */

/** @typedef {import('./server.mjs').LayerLoad} LayerLoad */
/** @typedef {import('./answer-stream.mjs').RoutedExperts} RoutedExperts */

/**
 * What was counted between two readings. A server that was started anew counts from zero: then all of the second one.
 *
 * @param {readonly LayerLoad[]} before
 * @param {readonly LayerLoad[]} now
 * @returns {LayerLoad[]}
 */
export function loadBetween(before, now) {
  const earlier = new Map(before.map(({ layer, tokens }) => [layer, tokens]));
  const restarted = now.some(({ layer, tokens }) =>
    tokens.some((count, expert) => count < (earlier.get(layer)?.[expert] ?? 0)),
  );
  if (restarted) return [...now];
  return now.map(({ layer, tokens }) => ({
    layer,
    tokens: tokens.map((count, expert) => count - (earlier.get(layer)?.[expert] ?? 0)),
  }));
}

/**
 * The largest count of any expert; 0 where there is none.
 *
 * @param {readonly LayerLoad[]} load
 */
export const mostOf = (load) => load.reduce((most, { tokens }) => Math.max(most, ...tokens), 0);

/**
 * What a layer's counts say: the busiest expert, its share of the layer's tokens, and how many experts got none.
 *
 * @param {readonly number[]} tokens
 */
export function layerSummary(tokens) {
  const most = Math.max(0, ...tokens);
  const sum = tokens.reduce((total, count) => total + count, 0);
  return {
    busiest: tokens.indexOf(most),
    most,
    sum,
    share: sum === 0 ? 0 : most / sum,
    unused: tokens.filter((count) => count === 0).length,
  };
}

/**
 * The experts of one token: for each layer, the chosen ones and their weights, best first.
 *
 * @typedef {object} TokenRouting
 * @property {number} position
 * @property {string} text
 * @property {readonly { readonly layer: number, readonly experts: readonly number[], readonly weights: readonly number[] }[]} layers
 */

/** The traced tokens of one answer and its prompt, by their position. */
export class TokenTrace {
  /** @type {Map<number, TokenRouting>} */
  #tokens = new Map();
  /** Tokens of the prompt; null while nobody has said. @type {number | null} */
  promptTokens = null;

  /** @param {RoutedExperts} routed */
  add({ position, tokens, layers }) {
    for (const [row, text] of tokens.entries()) {
      this.#tokens.set(position + row, {
        position: position + row,
        text,
        layers: layers.map(({ layer, experts, weights }) => ({
          layer,
          experts: experts[row] ?? [],
          weights: weights[row] ?? [],
        })),
      });
    }
  }

  get size() {
    return this.#tokens.size;
  }

  /** In the order of their positions. */
  get tokens() {
    return [...this.#tokens.values()].sort((first, second) => first.position - second.position);
  }

  /**
   * How many of the tokens each expert got.
   *
   * @param {number} experts of a layer
   * @returns {LayerLoad[]}
   */
  load(experts) {
    /** @type {Map<number, number[]>} */
    const counts = new Map();
    for (const { layers } of this.#tokens.values()) {
      for (const { layer, experts: chosen } of layers) {
        const row = counts.get(layer) ?? Array.from({ length: experts }, () => 0);
        for (const expert of chosen) row[expert] = (row[expert] ?? 0) + 1;
        counts.set(layer, row);
      }
    }
    return [...counts].map(([layer, tokens]) => ({ layer, tokens }));
  }
}
