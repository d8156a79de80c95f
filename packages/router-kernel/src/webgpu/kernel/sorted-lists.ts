/** WGSL that sorts and merges keys held in variables, and exchanges them between the lanes of a token. */

import type { ExchangePath, LaunchShape } from './launch-shape.ts';
import { powerOfTwoFrom, sortingNetwork, valleySortingNetwork } from './sorting-network.ts';
import type { Comparator } from './sorting-network.ts';

/** Statements, and the variables in which they leave a sorted list, the best first. */
export interface SortedList {
  readonly code: readonly string[];
  readonly list: readonly string[];
}

/** Sorts some variables as far as the `kept` best of them need it. */
export function selectBest(variables: readonly string[], kept: number): SortedList {
  const blockLength = Math.min(powerOfTwoFrom(kept), variables.length);
  const code: string[] = [];
  const lists: string[][] = [];
  for (let start = 0; start < variables.length; start += blockLength) {
    const block = variables.slice(start, start + blockLength);
    code.push(...sort(block, sortingNetwork(block.length, Math.min(kept, block.length))));
    lists.push(block.slice(0, kept));
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
      const merged = mergeTwo(upper, lower, Math.min(kept, upper.length + lower.length));
      code.push(...merged.code);
      next.push(merged.list);
    }
    rest = next;
  }
  return { code, list: rest[0] ?? [] };
}

/** The `length` best of two lists: the larger of one list and the other reversed falls and then rises. */
function mergeTwo(upper: readonly string[], lower: readonly string[], length: number): SortedList {
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

/**
 * Reads some keys of the lane whose number differs in the bit `distance` into variables `stem0`, `stem1`, …
 *
 * @param isLast whether no exchange follows: through workgroup memory, one that follows must wait for the reads of this
 */
export function exchangeKeys(
  shape: LaunchShape,
  path: ExchangePath,
  distance: number,
  keys: readonly string[],
  stem: string,
  isLast: boolean,
): string[] {
  const partners = names(stem, keys.length);
  if (path === 'subgroups') {
    return partners.map((partner, k) => `var ${partner} = subgroupShuffleXor(${keys[k]}, ${distance}u);`);
  }
  const at = (k: number, position: string): string => `exchange[${k * shape.workgroupSize}u + ${position}]`;
  return [
    ...keys.map((key, k) => `${at(k, 'position')} = ${key};`),
    'workgroupBarrier();',
    ...partners.map((partner, k) => `var ${partner} = ${at(k, `(position ^ ${distance}u)`)};`),
    ...(isLast ? [] : ['workgroupBarrier();']),
  ];
}

/** Merges a lane's sorted list with that of the lane at `distance`: afterwards both hold the `kept` best of both. */
export function mergeWithPartner(
  shape: LaunchShape,
  path: ExchangePath,
  distance: number,
  held: readonly string[],
  kept: number,
  stem: string,
  isLast: boolean,
): SortedList {
  const partners = names(`${stem}${distance}_`, held.length);
  const merged = mergeLists([held, partners], kept);
  return {
    code: [...exchangeKeys(shape, path, distance, held, `${stem}${distance}_`, isLast), ...merged.code],
    list: merged.list,
  };
}

/** The value of the lane's number, in as many of its lower bits as the values need. */
export function pickByLane(values: readonly string[], bit = 1): string {
  if (values.length === 1) return values[0] as string;
  const even = pickByLane(
    values.filter((_, i) => i % 2 === 0),
    bit * 2,
  );
  const odd = pickByLane(
    values.filter((_, i) => i % 2 === 1),
    bit * 2,
  );
  return `select(${even}, ${odd}, (lane & ${bit}u) != 0u)`;
}

/** `stem0`, `stem1`, … */
export function names(stem: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${stem}${i}`);
}

/** Statements as lines of a function's body. */
export function indent(lines: readonly string[], depth: number): string {
  return lines.map((line) => '  '.repeat(depth) + line).join('\n');
}

function sort(variables: readonly string[], network: readonly Comparator[]): string[] {
  return network.map(([above, below]) => `sort_pair(&${variables[above]}, &${variables[below]});`);
}
