/**
 * Which prompts a step goes on with.
 */

/** A prompt that is not yet computed. */
export interface PrefillTurn {
  /** Tokens of its next piece, 1 to the budget. */
  readonly size: number;
  /** The step of its last turn, or the one in which it came. */
  readonly since: number;
}

/**
 * The prompts whose turn it is, by index: who has waited longest comes first, and whoever still fits comes along. A
 * piece is taken whole or not at all, so that where a prompt is cut depends on the prompt alone. Each gets its turn
 * after at most as many steps as there are others.
 *
 * @param budget Tokens of the step.
 */
export function takeTurns(turns: readonly PrefillTurn[], budget: number): number[] {
  const order = turns.map((turn, index) => ({ ...turn, index })).sort((a, b) => a.since - b.since || a.index - b.index);
  const taken: number[] = [];
  let left = budget;
  for (const { size, index } of order) {
    if (size > left) continue;
    left -= size;
    taken.push(index);
  }
  return taken;
}
