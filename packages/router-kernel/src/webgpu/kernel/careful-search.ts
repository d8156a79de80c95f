/** Fills in kernels/parts/steps/careful_search.wgsl, which a kernel has once for each list of unchecked keys. */

import { expandTemplate } from '@switchyard/gpu/webgpu';
import { CAREFUL_SEARCH_WGSL } from '../wgsl/parts/steps/careful-search.ts';

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

/** The statements that search again where a list shows a NaN. */
export function searchWithCare({ list, loads, vector, id, ranked }: CarefulSearch): string[] {
  const [best = ''] = list;
  const texts = {
    BEST: best,
    LEAST: list.at(-1) ?? best,
    FORGET_LIST: list.map((key) => `${key} = LOWEST_KEY;`).join('\n'),
    INSERT_KEY: list.map((key) => `sort_pair(&${key}, &key);`).join('\n'),
    LOADS: loads,
    VECTOR: vector,
    ID: id,
  };
  const { text, file } = CAREFUL_SEARCH_WGSL;
  const values = { texts, flags: { RANKS_LOGITS: ranked === 'logits' }, repeats: 0 };
  return expandTemplate(text.trimEnd(), values, file).split('\n');
}
