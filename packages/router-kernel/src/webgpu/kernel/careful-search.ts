/**
 * WGSL that makes keys of whole vectors of logits without a look at NaN, which then shows at the ends of a sorted list
 * of them: a positive NaN is above +Infinity, and a negative one below -Infinity. The rare lane that finds one there
 * searches again with care, one logit after another.
 */

import type { ResolvedRouterConfig } from '../contract.ts';
import { logitsPerVector } from './launch-shape.ts';

/** The statements that declare `variables` as the keys of the logits of a vector, NaN unchecked. */
export function keysOfVector(
  config: ResolvedRouterConfig,
  vector: string,
  variables: readonly string[],
  id: (logit: number) => { readonly id: string; readonly tag: string },
): string[] {
  return variables.map((variable, i) => {
    if (config.logitsDtype === 'f32') return `var ${variable} = vec2<u32>(${vector}.${'xyzw'[i]}, ${id(i).id});`;
    const word = `${vector}.${'xyzw'[i >> 1]}`;
    return `var ${variable} = (${i % 2 === 0 ? `${word} << 16u` : `${word} & 0xFFFF0000u`}) | ${id(i).tag};`;
  });
}

/** A search with care of some vectors, into a sorted list that the search without left. */
export interface CarefulSearch {
  /** The list's variables, the best first. */
  readonly list: readonly string[];
  /** How many vectors there are. */
  readonly loads: number;
  /** The index of vector `load` in the row. */
  readonly vector: string;
  /** The id of the first logit of vector `load`; of the vector itself where those are ranked. */
  readonly id: string;
  /** What is ranked: the logits, or the vectors by their best logit. */
  readonly ranked: 'logits' | 'vectors';
}

/** The statements that search again where a list shows a NaN. They exchange nothing: lanes take them each for itself. */
export function searchWithCare({ list, loads, vector, id, ranked }: CarefulSearch): string[] {
  const insert = list.map((variable) => `sort_pair(&${variable}, &key);`);
  const rank =
    ranked === 'logits'
      ? [
          'for (var i = 0u; i < LOGITS_PER_LOAD; i++) {',
          ...[`var key = key_of(to_order(bits_of(words, i)), ${id} + i);`, ...insert].map((line) => `  ${line}`),
          '}',
        ]
      : [
          'var order = 0u;',
          'for (var i = 0u; i < LOGITS_PER_LOAD; i++) {',
          '  order = max(order, to_order(bits_of(words, i)));',
          '}',
          `var key = key_of(order, ${id});`,
          ...insert,
        ];
  return [
    `if (shows_nan(${list[0]}, ${list.at(-1)})) {`,
    ...list.map((variable) => `  ${variable} = LOWEST_KEY;`),
    `  for (var load = 0u; load < ${loads}u; load++) {`,
    `    let words = load_vector(row, ${vector});`,
    ...rank.map((line) => `    ${line}`),
    '  }',
    '}',
  ];
}

/** The expression of the orders of a vector's logits, two to a word where they are 16-bit. */
export function ordersOfVector(vector: string): string {
  return `to_unchecked_orders(load_vector(row, ${vector}))`;
}

/** The variables among `keys` that belong to vector number `load`. */
export function keysPerVector(config: ResolvedRouterConfig, keys: readonly string[], load: number): readonly string[] {
  const width = logitsPerVector(config);
  return keys.slice(load * width, (load + 1) * width);
}
