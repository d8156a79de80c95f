/**
 * Writes the search with care, for lanes whose sorted list of unchecked keys shows a NaN: see
 * kernels/parts/unchecked_keys.wgsl, whose functions it calls.
 */

import { block } from './statements.ts';

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
  const eachLogit = 'for (var i = 0u; i < LOGITS_PER_LOAD; i++)';
  const insert = list.map((variable) => `sort_pair(&${variable}, &key);`);
  const rank =
    ranked === 'logits'
      ? block(eachLogit, [`var key = key_of(to_order(bits_of(words, i)), ${id} + i);`, ...insert])
      : [
          'var order = 0u;',
          ...block(eachLogit, ['order = max(order, to_order(bits_of(words, i)));']),
          `var key = key_of(order, ${id});`,
          ...insert,
        ];
  return block(`if (shows_nan(${list[0]}, ${list.at(-1)}))`, [
    ...list.map((variable) => `${variable} = LOWEST_KEY;`),
    ...block(`for (var load = 0u; load < ${loads}u; load++)`, [`let words = load_vector(row, ${vector});`, ...rank]),
  ]);
}
