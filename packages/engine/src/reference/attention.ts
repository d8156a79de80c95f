/**
 * Causal attention of grouped heads with sinks, in f64 (openai/gpt-oss, torch/model.py, sdpa): a softmax over the scores
 * of the keys and one more, the head's sink, which takes its share and gives nothing.
 *
 * @param queries f64 [T, heads, headDim].
 * @param keys f64 [T, keyValueHeads, headDim]; each serves heads / keyValueHeads query heads in a row.
 * @param values f64 [T, keyValueHeads, headDim].
 * @param sinks f64 [heads].
 * @param window positions that a token sees, itself included; Infinity for all before it.
 * @returns f64 [T, heads, headDim].
 */
export function attend(
  queries: Float64Array,
  keys: Float64Array,
  values: Float64Array,
  sinks: Float64Array,
  headDim: number,
  window: number,
): Float64Array {
  const heads = sinks.length;
  const tokens = queries.length / (heads * headDim);
  const keyValueHeads = keys.length / (tokens * headDim);
  const output = new Float64Array(queries.length);
  for (let token = 0; token < tokens; token++) {
    const first = Math.max(0, token - window + 1);
    for (let head = 0; head < heads; head++) {
      const query = (token * heads + head) * headDim;
      const shared = Math.floor((head * keyValueHeads) / heads);
      const rowOf = (position: number): number => (position * keyValueHeads + shared) * headDim;
      const scores = new Float64Array(token + 1 - first);
      for (let position = first; position <= token; position++) {
        scores[position - first] = dot(queries, query, keys, rowOf(position), headDim) / Math.sqrt(headDim);
      }
      const sink = sinks[head] as number;
      const largest = scores.reduce((most, score) => Math.max(most, score), sink);
      const shares = scores.map((score) => Math.exp(score - largest));
      const total = shares.reduce((sum, share) => sum + share, Math.exp(sink - largest));
      shares.forEach((share, index) => {
        const row = rowOf(first + index);
        for (let element = 0; element < headDim; element++) {
          const place = query + element;
          output[place] = (output[place] as number) + (share / total) * (values[row + element] as number);
        }
      });
    }
  }
  return output;
}

function dot(left: Float64Array, leftStart: number, right: Float64Array, rightStart: number, length: number): number {
  let sum = 0;
  for (let index = 0; index < length; index++) {
    sum += (left[leftStart + index] as number) * (right[rightStart + index] as number);
  }
  return sum;
}
