/**
 * Which prompts a step goes on with.
 */

/** A prompt that is not yet computed. */
export interface PrefillTurn {
  /** Tokens of its next piece, 1 to the budget; of several whole pieces, where it may have them together. */
  readonly size: number;
  /** Tokens of one of them. Defaults to `size`. */
  readonly piece?: number;
  /** What each token takes of the budget. Defaults to 1. */
  readonly cost?: number;
  /** The step of its last turn, or the one in which it came. */
  readonly since: number;
}

/**
 * The prompts whose turn it is, by index: who has waited longest comes first, and whoever still fits comes along. A
 * piece is taken whole or not at all, so that where a prompt is cut depends on the prompt alone, and on whether it has
 * company. Each gets its turn after at most as many steps as there are others.
 *
 * @param budget Tokens of the step.
 * @returns which turns, and the tokens of each.
 */
export function takeTurns(turns: readonly PrefillTurn[], budget: number): { index: number; size: number }[] {
  const order = turns.map((turn, index) => ({ ...turn, index })).sort((a, b) => a.since - b.since || a.index - b.index);
  const taken: { index: number; size: number }[] = [];
  let left = budget;
  for (const { size: most, piece = most, cost = 1, index } of order) {
    // Whole tokens: a product that rounds up must not be past a budget that it fills.
    const costOf = (tokens: number): number => Math.floor(tokens * cost);
    const size = costOf(most) <= left ? most : piece * Math.floor(left / costOf(piece));
    if (size === 0) continue;
    left -= costOf(size);
    taken.push({ index, size });
  }
  return taken;
}
