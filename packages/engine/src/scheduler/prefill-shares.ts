/**
 * How a step's prompt tokens are shared out.
 *
 * @module
 */

/**
 * Splits `budget` tokens over prompts that still need `pending` tokens each: equal shares, and what short prompts leave
 * goes to the others, oldest first. So a long prompt never holds up a short one that came later. Sums to
 * min(budget, sum of pending).
 */
export function sharePrefill(pending: readonly number[], budget: number): number[] {
  const shares = pending.map(() => 0);
  let left = budget;
  let open = pending.flatMap((tokens, i) => (tokens > 0 ? [i] : []));
  while (left > 0 && open.length > 0) {
    const equal = Math.max(1, Math.floor(left / open.length));
    for (const i of open) {
      const share = Math.min(equal, left, (pending[i] ?? 0) - (shares[i] ?? 0));
      shares[i] = (shares[i] ?? 0) + share;
      left -= share;
    }
    open = open.filter((i) => (shares[i] ?? 0) < (pending[i] ?? 0));
  }
  return shares;
}
