/**
 * Writes the exchange of keys between the lanes of a token, by subgroup operations or through the array of
 * kernels/parts/lane_memory.wgsl, and the butterfly that merges the lanes' sorted lists.
 */

import type { KernelForm } from './launch-geometry.ts';
import { mergeLists } from './sorted-lists.ts';
import { names } from './statements.ts';
import type { SortedList } from './statements.ts';

/** An exchange with the lane whose number differs in one bit. */
export interface ExchangeStep {
  /** The bit: a power of two below the lanes of a token. */
  readonly distance: number;
  /** What the names of the variables that receive keys begin with. */
  readonly stem: string;
  /** Whether no exchange follows. Through workgroup memory, one that follows must wait for the reads of this. */
  readonly isLast: boolean;
}

/** Reads keys of another lane into variables `stem0`, `stem1`, ... */
export function exchangeKeys(
  { path, geometry }: KernelForm,
  { distance, stem, isLast }: ExchangeStep,
  keys: readonly string[],
): string[] {
  const received = names(stem, keys.length);
  if (path === 'subgroups') {
    return received.map((variable, k) => `var ${variable} = subgroupShuffleXor(${keys[k]}, ${distance}u);`);
  }
  const at = (k: number, position: string): string => `exchange[${k * geometry.workgroupSize}u + ${position}]`;
  return [
    ...keys.map((key, k) => `${at(k, 'position')} = ${key};`),
    'workgroupBarrier();',
    ...received.map((variable, k) => `var ${variable} = ${at(k, `(position ^ ${distance}u)`)};`),
    ...(isLast ? [] : ['workgroupBarrier();']),
  ];
}

/** Merges a lane's sorted list with that of another lane: afterwards both hold the `kept` best of both. */
export function mergeWithLane(form: KernelForm, step: ExchangeStep, held: readonly string[], kept: number): SortedList {
  const stem = `${step.stem}${step.distance}_`;
  const merged = mergeLists([held, names(stem, held.length)], kept);
  return { code: [...exchangeKeys(form, { ...step, stem }, held), ...merged.code], list: merged.list };
}

/** Merges the lists of a token's lanes until every lane holds the K winners of the token. */
export function mergeAcrossLanes(form: KernelForm, held: readonly string[]): SortedList {
  const { topK } = form.config;
  const lanes = form.geometry.lanesPerToken;
  const code: string[] = [];
  let list = held;
  for (let distance = 1; distance < lanes; distance *= 2) {
    const step = { distance, stem: 'p', isLast: distance * 2 >= lanes };
    const merged = mergeWithLane(form, step, list, topK);
    code.push(...merged.code);
    list = merged.list;
  }
  if (list.length < topK) throw new Error(`A token's lanes hold ${list.length} keys, but K is ${topK}.`);
  return { code, list };
}

/** The value of the lane's number, in as many of its lower bits as the values need: a power of two of them. */
export function pickByLane(values: readonly string[], bit = 1): string {
  if (values.length === 1) return values[0] as string;
  const half = (parity: number): string =>
    pickByLane(
      values.filter((_, i) => i % 2 === parity),
      bit * 2,
    );
  return `select(${half(0)}, ${half(1)}, (lane & ${bit}u) != 0u)`;
}
