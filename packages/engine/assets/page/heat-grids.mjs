/** What the heat map can show, with the words for it. */

import { layerSummary, mostOf } from './expert-counts.mjs';

/** @typedef {import('./heat-map.mjs').HeatGrid} HeatGrid */

/** @param {number} share */
const percent = (share) => `${(share * 100).toFixed(1)} %`;

/**
 * Counts of tokens. Full colour is the largest count of any layer, so that layers can be compared.
 *
 * @param {readonly import('./server.mjs').LayerLoad[]} load
 * @param {string} when
 * @returns {HeatGrid}
 */
export function countsGrid(load, when) {
  const most = mostOf(load);
  const busiest = load.find(({ tokens }) => tokens.includes(most));
  const size = `${load.length} layers by ${load[0]?.tokens.length ?? 0} experts`;
  const peak =
    most === 0 || busiest === undefined
      ? 'no tokens'
      : `the busiest is layer ${busiest.layer}, expert ${busiest.tokens.indexOf(most)} with ${most} tokens`;
  return {
    rows: load.map(({ layer, tokens }) => ({ layer, values: tokens })),
    most: Math.max(1, most),
    high: most === 0 ? 'no tokens' : `${most} tokens`,
    summary: `expert load ${when}: ${size}, ${peak}`,
    describe(row, expert) {
      const { layer, tokens } = load[row] ?? { layer: row, tokens: [] };
      const count = tokens[expert] ?? 0;
      const { sum } = layerSummary(tokens);
      const share =
        sum === 0 ? '' : `, ${percent(count / sum)} of the layer's (an even share is ${percent(1 / tokens.length)})`;
      return `Layer ${layer}, expert ${expert}: ${count} tokens${share}`;
    },
  };
}

/**
 * The weights of one token's experts. Full colour is a weight of 1.
 *
 * @param {import('./expert-counts.mjs').TokenRouting} token
 * @param {number} experts of a layer
 * @returns {HeatGrid}
 */
export function tokenGrid({ position, text, layers }, experts) {
  const name = `${JSON.stringify(text)} at position ${position}`;
  const rows = layers.map(({ layer, experts: chosen, weights }) => {
    const values = Array.from({ length: experts }, () => 0);
    for (const [place, expert] of chosen.entries()) values[expert] = weights[place] ?? 0;
    return { layer, values };
  });
  return {
    rows,
    most: 1,
    high: 'weight 1',
    summary: `experts of the token ${name}: ${layers.length} layers by ${experts} experts`,
    describe(row, expert) {
      const weight = rows[row]?.values[expert] ?? 0;
      const fate = weight === 0 ? 'not chosen' : `weight ${weight}`;
      return `Layer ${rows[row]?.layer ?? row}, expert ${expert}: ${fate} for ${name}`;
    },
  };
}
