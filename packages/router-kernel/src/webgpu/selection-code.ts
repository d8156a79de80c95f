/** The unrolled part of the router's shader: each lane's selection, and the merging of lanes. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { ranksByChoice, selectionRounds } from './launch-shape.ts';
import type { LaunchShape } from './launch-shape.ts';
import { powerOfTwoFrom, sortingNetwork, valleySortingNetwork } from './sorting-network.ts';
import type { Comparator } from './sorting-network.ts';

/** How the selection of one configuration and shape reads its keys. */
interface KeyReading {
  readonly config: ResolvedRouterConfig;
  readonly shape: LaunchShape;
  readonly isPacked: boolean;
  readonly rounds: number;
  readonly loadsPerRound: number;
}

/** The WGSL that leaves a lane's best keys, sorted, in w0, w1, …, and how many they are. */
export function selectInLane(config: ResolvedRouterConfig, shape: LaunchShape): { code: string; length: number } {
  const { topK } = config;
  const { loads: loadsPerRound, rounds } = selectionRounds(config, shape);
  const isPacked = config.logitsDtype !== 'f32' && !ranksByChoice(config);
  const reading: KeyReading = { config, shape, isPacked, rounds, loadsPerRound };
  const perRound = loadsPerRound * shape.logitsPerLoad;
  const length = Math.min(topK, perRound);
  const body = [...readKeys(reading), ...selectBest(names('c', perRound), topK)];

  if (rounds === 1) {
    const winners = names('w', length).map((winner, k) => `var ${winner} = ${addLane(`c${k}`, reading)};`);
    return { code: indent([...body, ...winners], 1), length };
  }
  const step = loadsPerRound * shape.lanes * shape.logitsPerLoad;
  const running = names('r', topK);
  const code = [
    ...running.map((name) => `var ${name} = LOWEST_KEY;`),
    `for (var first = 0u; first < EXPERTS; first += ${step}u) {`,
    ...[...body, ...mergeSorted(running, names('c', length), topK), ...sort(running, valleySortingNetwork(topK))].map(
      (line) => `  ${line}`,
    ),
    '}',
    ...running.map((name, k) => `var w${k} = ${addLane(name, reading)};`),
  ];
  return { code: indent(code, 1), length: topK };
}

/** The WGSL that merges w0, w1, … over the lanes of a token until every lane holds the token's K winners. */
export function mergeLanes(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  path: 'subgroups' | 'workgroup',
  length: number,
): string {
  const code: string[] = [];
  let held = length;
  for (let distance = 1; distance < shape.lanes; distance *= 2) {
    code.push(...readPartner(shape, path, distance, held));
    const merged = Math.min(config.topK, held * 2);
    code.push(...mergeSorted(names('w', held), names(`p${distance}_`, held), merged));
    code.push(...sort(names('w', merged), valleySortingNetwork(merged)));
    held = merged;
  }
  if (held < config.topK) throw new Error(`A token's lanes hold ${held} keys, but K is ${config.topK}.`);
  return indent(code, 1);
}

function readKeys({ config, shape, isPacked, rounds, loadsPerRound }: KeyReading): string[] {
  const { lanes, logitsPerLoad } = shape;
  const code: string[] = [];
  for (let load = 0; load < loadsPerRound; load++) {
    const start = load * lanes * logitsPerLoad;
    const key = (offset: number, order: string): string => {
      const id = start + offset;
      if (!isPacked) return `vec2<u32>(${order}, ${rounds > 1 ? `first + ${id}u` : `${id}u`})`;
      return `to_key(${order}, ${rounds > 1 ? `${0xffff - id}u - first` : `${0xffff - id}u`})`;
    };
    const first = load * logitsPerLoad;
    if (logitsPerLoad === 1) {
      const expert = rounds > 1 ? `first + ${start}u + lane` : `${start}u + lane`;
      code.push(`var c${first} = ${key(0, readOrder(config, shape, isPacked, expert, rounds * loadsPerRound))};`);
      continue;
    }
    const vector = rounds > 1 ? `first / ${logitsPerLoad}u + ${load * lanes}u + lane` : `${load * lanes}u + lane`;
    if (config.logitsDtype === 'f32') {
      code.push(`let v${load} = load_vector(row, ${vector});`);
      ['x', 'y', 'z', 'w'].forEach((part, i) => {
        code.push(`var c${first + i} = ${key(i, `to_order(v${load}.${part})`)};`);
      });
    } else {
      code.push(`let v${load} = to_unchecked_orders(load_vector(row, ${vector}));`);
      ['x', 'y', 'z', 'w'].forEach((part, i) => {
        code.push(`var c${first + 2 * i} = ${key(2 * i, `v${load}.${part} << 16u`)};`);
        code.push(`var c${first + 2 * i + 1} = ${key(2 * i + 1, `v${load}.${part} & 0xFFFF0000u`)};`);
      });
    }
  }
  return code;
}

function readOrder(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  isPacked: boolean,
  expert: string,
  loads: number,
): string {
  if (ranksByChoice(config)) {
    const isPartial = loads * shape.lanes !== config.experts;
    const at = `choice_orders[slot * EXPERTS + ${isPartial ? `min(${expert}, EXPERTS - 1u)` : expert}]`;
    return isPartial ? `select(0u, ${at}, ${expert} < EXPERTS)` : at;
  }
  return isPacked ? `to_unchecked_order(load_bits(row, ${expert}))` : `to_order(load_bits(row, ${expert}))`;
}

/** A key whose id counts from the lane's first logit, made to count from expert 0. */
function addLane(key: string, { shape, isPacked }: KeyReading): string {
  if (shape.lanes === 1) return key;
  const first = shape.logitsPerLoad === 1 ? 'lane' : `lane * ${shape.logitsPerLoad}u`;
  return isPacked ? `${key} - ${first}` : `${key} + vec2<u32>(0u, ${first})`;
}

/** Leaves the `kept` best of some variables, sorted, in the first of them. */
function selectBest(variables: readonly string[], kept: number): string[] {
  const blockLength = Math.min(powerOfTwoFrom(kept), variables.length);
  const code: string[] = [];
  let lists: string[][] = [];
  for (let start = 0; start < variables.length; start += blockLength) {
    const block = variables.slice(start, start + blockLength);
    code.push(...sort(block, sortingNetwork(block.length, Math.min(kept, block.length))));
    lists.push(block.slice(0, kept));
  }
  while (lists.length > 1) {
    const next: string[][] = [];
    for (let i = 0; i < lists.length; i += 2) {
      const [upper = [], lower = []] = lists.slice(i, i + 2);
      // Every list but a last, shorter one holds `kept` keys: the upper list always fills the result.
      if (lower.length > 0) code.push(...mergeSorted(upper, lower, kept), ...sort(upper, valleySortingNetwork(kept)));
      next.push(upper);
    }
    lists = next;
  }
  return code;
}

/**
 * The `merged` largest keys of two sorted lists into the upper list's names (declared anew past its end): the upper
 * list against the lower one reversed.
 */
function mergeSorted(upper: readonly string[], lower: readonly string[], merged: number): string[] {
  const code: string[] = [];
  const stem = (upper[0] as string).replace(/\d+$/, '');
  for (let i = 0; i < merged; i++) {
    const own = upper[i];
    const other = lower[merged - 1 - i];
    if (own !== undefined && other !== undefined) code.push(`${own} = larger(${own}, ${other});`);
    if (own === undefined) code.push(`var ${stem}${i} = ${other};`);
  }
  return code;
}

function readPartner(shape: LaunchShape, path: 'subgroups' | 'workgroup', distance: number, held: number): string[] {
  const partners = names(`p${distance}_`, held);
  if (path === 'subgroups') {
    return partners.map((partner, k) => `let ${partner} = subgroupShuffleXor(w${k}, ${distance}u);`);
  }
  const at = (k: number, position: string): string => `exchange[${k * shape.workgroupSize}u + ${position}]`;
  return [
    ...partners.map((_, k) => `${at(k, 'position')} = w${k};`),
    'workgroupBarrier();',
    ...partners.map((partner, k) => `let ${partner} = ${at(k, `(position ^ ${distance}u)`)};`),
    ...(distance * 2 < shape.lanes ? ['workgroupBarrier();'] : []),
  ];
}

function sort(variables: readonly string[], network: readonly Comparator[]): string[] {
  return network.map(([above, below]) => `sort_pair(&${variables[above]}, &${variables[below]});`);
}

function names(stem: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${stem}${i}`);
}

function indent(lines: readonly string[], depth: number): string {
  return lines.map((line) => '  '.repeat(depth) + line).join('\n');
}
