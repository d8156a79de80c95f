/**
 * Two searches instead of one, for many tokens, where instructions are what counts. The first ranks chunks of
 * neighbouring experts, one vector each, by their best logit; the second ranks the experts of the best chunks, which
 * are read again. The K best experts lie in the K best chunks: a chunk that has one of them is beaten only by chunks
 * that have a better one, and equal logits go to the lower chunk as they go to the lower expert.
 */

import type { ResolvedRouterConfig } from '../contract.ts';
import { chunksKept, keyBytes, logitsPerVector } from './launch-shape.ts';
import type { ExchangePath, LaunchShape } from './launch-shape.ts';
import { exchangeKeys, mergeLists, mergeWithPartner, names, pickByLane, selectBest } from './sorted-list-code.ts';
import { keysOfVector, keysPerVector, ordersOfVector, searchWithCare } from './vector-keys-code.ts';

/** The WGSL that leaves the best keys of a lane's share of the best chunks, sorted, in w0, w1, …, and how many they are. */
export function selectInChunks(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  path: ExchangePath,
): { code: readonly string[]; length: number } {
  const isPacked = keyBytes(config) === 4;
  const chunks = bestChunks(config, shape, path);
  const width = logitsPerVector(config);
  const keys = names('c', chunks.share.length * width);
  const code = [...chunks.code];
  chunks.share.forEach((chunk, i) => {
    code.push(
      `let chunk_${i} = ${isPacked ? `~${chunk} & 0xFFFFu` : `${chunk}.y`};`,
      `let u${i} = ${ordersOfVector(`chunk_${i}`)};`,
    );
  });
  // Within a chunk keys have the numbers of its logits: the chunk's own is added to the few that remain.
  const lists = chunks.share.map((_, i) => {
    const ofChunk = keysPerVector(config, keys, i);
    const best = selectBest(ofChunk, config.topK);
    const first = `chunk_${i} * ${width}u`;
    code.push(
      ...keysOfVector(config, `u${i}`, ofChunk, (logit) => ({ id: `${logit}u`, tag: `${0xffff - logit}u` })),
      ...best.code,
      ...best.list.map((key) => (isPacked ? `${key} -= ${first};` : `${key}.y += ${first};`)),
    );
    return best.list;
  });
  const merged = mergeLists(lists, config.topK);
  const share = chunks.share.map((_, i) => `chunk_${i}`);
  code.push(
    ...merged.code,
    ...(share.length > 1 ? [`var chunks = array<u32, ${share.length}>(${share.join(', ')});`] : []),
    ...searchWithCare({
      list: merged.list,
      loads: share.length,
      vector: share.length > 1 ? 'chunks[load]' : 'chunk_0',
      id: share.length > 1 ? `chunks[load] * ${width}u` : `chunk_0 * ${width}u`,
      ranked: 'logits',
    }),
    ...merged.list.map((key, k) => `var w${k} = ${key};`),
  );
  return { code, length: merged.list.length };
}

/** The WGSL that finds the best chunks of a row, and the variables that hold the keys of this lane's share of them. */
function bestChunks(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  path: ExchangePath,
): { code: readonly string[]; share: readonly string[] } {
  const { lanes } = shape;
  const kept = chunksKept(config);
  const isPacked = keyBytes(config) === 4;
  const loads = config.experts / logitsPerVector(config) / lanes;
  const variables = names('b', loads);
  const best = selectBest(variables, kept);
  const code = [
    ...variables.map((_, load) => `let v${load} = load_vector(row, ${load * lanes}u + lane);`),
    ...variables.map((chunk, load) => `var ${chunk} = key_of(best_of_chunk(v${load}), ${load * lanes}u);`),
    ...best.code,
    ...searchWithCare({
      list: best.list,
      loads,
      vector: `load * ${lanes}u + lane`,
      id: `load * ${lanes}u`,
      ranked: 'vectors',
    }),
  ];
  if (lanes === 1) return { code, share: best.list };
  code.push(...best.list.map((chunk) => (isPacked ? `${chunk} -= lane;` : `${chunk}.y += lane;`)));

  let { list } = best;
  const half = lanes / 2;
  for (let distance = 1; distance < half; distance *= 2) {
    const merged = mergeWithPartner(shape, path, distance, list, kept, 'q', false);
    code.push(...merged.code);
    list = merged.list;
  }
  if (list.length !== kept) throw new Error(`Half of a token's lanes hold ${list.length} chunks, but not ${kept}.`);
  // The best of two sorted lists are the larger ones of each key in one and the key as far from the end in the other.
  // They need no order from here on. Half of the lanes count from the one end and half from the other, so that each
  // compares only its share.
  const share = Array.from({ length: kept / lanes }, (_, i) => i * half);
  const pick = (ofLane: (lane: number) => string): string =>
    pickByLane(Array.from({ length: half }, (_, i) => ofLane(i)));
  code.push(
    ...share.map((from, i) => `let own_${i} = ${pick((lane) => list[from + lane] as string)};`),
    ...share.map((from, i) => `let sent_${i} = ${pick((lane) => list[kept - 1 - from - lane] as string)};`),
    ...exchangeKeys(shape, path, half, names('sent_', share.length), 'met_', false),
    ...share.map((_, i) => `let best_${i} = larger(own_${i}, met_${i});`),
  );
  return { code, share: names('best_', share.length) };
}
