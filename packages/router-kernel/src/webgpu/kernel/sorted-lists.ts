/**
 * Writes the sorting and merging of keys in variables, by sort_pair and larger of kernels/parts/keys.wgsl. WGSL has no
 * templates: what kernels/sorted_lists.hip of @switchyard/gpu leaves to the compiler is unrolled here.
 */

import { nextPowerOfTwo, sortingNetwork, valleySortingNetwork } from './sorting-network.ts';
import type { Comparator } from './sorting-network.ts';
import type { SortedList } from './statements.ts';

/** Sorts some variables as far as the `kept` best of them need it. */
export function selectBest(variables: readonly string[], kept: number): SortedList {
  const blockLength = Math.min(nextPowerOfTwo(kept), variables.length);
  const code: string[] = [];
  const lists: string[][] = [];
  for (let start = 0; start < variables.length; start += blockLength) {
    const unsorted = variables.slice(start, start + blockLength);
    code.push(...sort(unsorted, sortingNetwork(unsorted.length, Math.min(kept, unsorted.length))));
    lists.push(unsorted.slice(0, kept));
  }
  const merged = mergeLists(lists, kept);
  return { code: [...code, ...merged.code], list: merged.list };
}

/** Merges sorted lists into one of at most the `kept` best. */
export function mergeLists(lists: readonly (readonly string[])[], kept: number): SortedList {
  const code: string[] = [];
  let rest = lists;
  while (rest.length > 1) {
    const next: (readonly string[])[] = [];
    for (let i = 0; i < rest.length; i += 2) {
      const [upper = [], lower = []] = rest.slice(i, i + 2);
      const merged = mergeBest(upper, lower, Math.min(kept, upper.length + lower.length));
      code.push(...merged.code);
      next.push(merged.list);
    }
    rest = next;
  }
  return { code, list: rest[0] ?? [] };
}

/** The `length` best of two lists: the larger of one list and the other reversed falls and then rises. */
function mergeBest(upper: readonly string[], lower: readonly string[], length: number): SortedList {
  if (lower.length === 0) return { code: [], list: upper };
  const code: string[] = [];
  const list: string[] = [];
  for (let i = 0; i < length; i++) {
    const own = upper[i];
    const other = lower[length - 1 - i];
    if (own !== undefined && other !== undefined) code.push(`${own} = larger(${own}, ${other});`);
    list.push(own ?? (other as string));
  }
  return { code: [...code, ...sort(list, valleySortingNetwork(length))], list };
}

function sort(variables: readonly string[], network: readonly Comparator[]): string[] {
  return network.map(([above, below]) => `sort_pair(&${variables[above]}, &${variables[below]});`);
}
