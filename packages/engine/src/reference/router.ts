/** One layer's choice of experts. */
export interface ReferenceRouting {
  /** i32 [T, K], the likeliest first. */
  readonly ids: Int32Array;
  /** f64 [T, K], a row's sum is 1. */
  readonly weights: Float64Array;
}

/**
 * The K largest of each row's E router logits, the lower expert first where they are equal, and the softmax over them
 * (openai/gpt-oss, torch/model.py, MLPBlock: topk, then softmax).
 *
 * @param logits f64 [T, E].
 */
export function chooseExperts(logits: Float64Array, experts: number, topK: number): ReferenceRouting {
  const tokens = logits.length / experts;
  const ids = new Int32Array(tokens * topK);
  const weights = new Float64Array(tokens * topK);
  for (let token = 0; token < tokens; token++) {
    const row = logits.subarray(token * experts, (token + 1) * experts);
    const order = Array.from(row.keys()).sort((a, b) => (row[b] as number) - (row[a] as number) || a - b);
    const winners = order.slice(0, topK);
    const largest = row[winners[0] ?? 0] as number;
    const shares = winners.map((expert) => Math.exp((row[expert] as number) - largest));
    const total = shares.reduce((sum, share) => sum + share, 0);
    ids.set(winners, token * topK);
    weights.set(
      shares.map((share) => share / total),
      token * topK,
    );
  }
  return { ids, weights };
}
