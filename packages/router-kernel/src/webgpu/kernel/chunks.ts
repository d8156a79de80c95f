/**
 * Writes the two searches of kernels/parts/chunks.wgsl. The K best experts lie in the K best chunks: a chunk that has one
 * of them is beaten only by chunks that have a better one, and equal logits go to the lower chunk as they go to the lower
 * expert.
 */

import { searchWithCare } from './careful-search.ts';
import { keyForm } from './keys.ts';
import { exchangeKeys, mergeWithLane, pickByLane } from './lane-exchange.ts';
import { chunksKept, logitsPerVector } from './launch-geometry.ts';
import type { KernelForm } from './launch-geometry.ts';
import { elementOfVector, ordersOfVector } from './rows.ts';
import { mergeLists, selectBest } from './sorted-lists.ts';
import { names } from './statements.ts';
import type { SortedList } from './statements.ts';

/** The WGSL that leaves the best keys of a lane's share of the best chunks, sorted, in w0, w1, ... */
export function bestOfChunks(form: KernelForm): SortedList {
  const { config } = form;
  const { topK } = config;
  const { idOf, makeUnchecked, raiseId } = keyForm(config);
  const width = logitsPerVector(config);
  const found = bestChunks(form);
  const chunks = names('chunk_', found.keys.length);
  // Within a chunk keys have the numbers of its logits: the chunk's own is added to the few that remain.
  const keys = names('c', chunks.length * width);
  const ofChunks = chunks.map((chunk, i) => {
    const ofChunk = keys.slice(i * width, (i + 1) * width);
    const best = selectBest(ofChunk, topK);
    return {
      code: [
        ...ofChunk.map(
          (key, n) => `var ${key} = ${makeUnchecked(elementOfVector(config, `u${i}`, n), { number: n })};`,
        ),
        ...best.code,
        ...best.list.map((key) => raiseId(key, `${chunk} * ${width}u`)),
      ],
      list: best.list,
    };
  });
  const merged = mergeLists(
    ofChunks.map(({ list }) => list),
    topK,
  );
  const isOne = chunks.length === 1;
  const result = names('w', merged.list.length);
  const code = [
    ...found.code,
    ...chunks.flatMap((chunk, i) => [
      `let ${chunk} = ${idOf(found.keys[i] as string)};`,
      `let u${i} = ${ordersOfVector(chunk)};`,
    ]),
    ...ofChunks.flatMap((ofChunk) => ofChunk.code),
    ...merged.code,
    ...(isOne ? [] : [`var chunks = array<u32, ${chunks.length}>(${chunks.join(', ')});`]),
    ...searchWithCare({
      list: merged.list,
      loads: chunks.length,
      vector: isOne ? 'chunk_0' : 'chunks[load]',
      id: `${isOne ? 'chunk_0' : 'chunks[load]'} * ${width}u`,
      ranked: 'logits',
    }),
    ...merged.list.map((key, k) => `var ${result[k]} = ${key};`),
  ];
  return { code, list: result };
}

/** The WGSL that finds the best chunks of a row, and the variables that hold the keys of this lane's share of them. */
function bestChunks(form: KernelForm): { code: readonly string[]; keys: readonly string[] } {
  const { config, geometry } = form;
  const lanes = geometry.lanesPerToken;
  const kept = chunksKept(config);
  const keys = names('b', config.experts / logitsPerVector(config) / lanes);
  const best = selectBest(keys, kept);
  const code = [
    ...keys.map((_, load) => `let v${load} = load_vector(row, ${load * lanes}u + lane);`),
    ...keys.map((key, load) => `var ${key} = key_of(best_of_chunk(v${load}), ${load * lanes}u);`),
    ...best.code,
    ...searchWithCare({
      list: best.list,
      loads: keys.length,
      vector: `load * ${lanes}u + lane`,
      id: `load * ${lanes}u`,
      ranked: 'vectors',
    }),
  ];
  if (lanes === 1) return { code, keys: best.list };
  code.push(...best.list.map((key) => keyForm(config).raiseId(key, 'lane')));

  let { list } = best;
  const half = lanes / 2;
  for (let distance = 1; distance < half; distance *= 2) {
    const merged = mergeWithLane(form, { distance, stem: 'q', isLast: false }, list, kept);
    code.push(...merged.code);
    list = merged.list;
  }
  if (list.length !== kept) throw new Error(`Half of a token's lanes hold ${list.length} chunks, but not ${kept}.`);
  const shared = shareOfBest(form, list);
  return { code: [...code, ...shared.code], keys: shared.keys };
}

/**
 * The best of two sorted lists are the larger ones of each key in one and the key as far from the end in the other. They
 * need no order from here on. Half of the lanes count from the one end and half from the other, so that each compares
 * only its share.
 */
function shareOfBest(form: KernelForm, list: readonly string[]): { code: readonly string[]; keys: readonly string[] } {
  const lanes = form.geometry.lanesPerToken;
  const half = lanes / 2;
  const count = list.length / lanes;
  const reversed = list.toReversed();
  const share = (keys: readonly string[], i: number): string => pickByLane(keys.slice(i * half, (i + 1) * half));
  const numbers = Array.from({ length: count }, (_, i) => i);
  const code = [
    ...numbers.map((i) => `let own_${i} = ${share(list, i)};`),
    ...numbers.map((i) => `let sent_${i} = ${share(reversed, i)};`),
    ...exchangeKeys(form, { distance: half, stem: 'met_', isLast: false }, names('sent_', count)),
    ...numbers.map((i) => `let best_${i} = larger(own_${i}, met_${i});`),
  ];
  return { code, keys: names('best_', count) };
}
