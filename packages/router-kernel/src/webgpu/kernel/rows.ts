/** The unrolled part of the router's shader: each lane's selection among its logits, and the merging of lanes. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { ranksByChoice } from '../derived-config.ts';
import { isPartial, selectionRounds } from './launch-shape.ts';
import type { ExchangePath, LaunchShape } from './launch-shape.ts';
import { mergeLists, mergeWithPartner, names, selectBest } from './sorted-list-code.ts';
import { keysOfVector, keysPerVector, ordersOfVector, searchWithCare } from './vector-keys-code.ts';

/** How the selection of one configuration and shape reads its keys. */
interface KeyReading {
  readonly config: ResolvedRouterConfig;
  readonly shape: LaunchShape;
  readonly isPacked: boolean;
  readonly rounds: number;
  readonly loadsPerRound: number;
}

/** The WGSL that leaves a lane's best keys, sorted, in w0, w1, …, and how many they are. */
export function selectInLane(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
): { code: readonly string[]; length: number } {
  const { topK } = config;
  const { loads: loadsPerRound, rounds } = selectionRounds(config, shape);
  const isPacked = config.logitsDtype !== 'f32' && !ranksByChoice(config);
  const reading: KeyReading = { config, shape, isPacked, rounds, loadsPerRound };
  const perRound = loadsPerRound * shape.logitsPerLoad;
  const best = selectBest(names('c', perRound), topK);
  const body = [...readKeys(reading), ...best.code];
  const code: string[] = [];
  let list = best.list;

  if (rounds === 1) {
    code.push(...body);
  } else {
    const step = perRound * shape.lanes;
    const running = names('r', topK);
    const merged = mergeLists([running, best.list], topK);
    code.push(
      ...running.map((name) => `var ${name} = LOWEST_KEY;`),
      `for (var first = 0u; first < EXPERTS; first += ${step}u) {`,
      ...[...body, ...merged.code].map((line) => `  ${line}`),
      '}',
    );
    list = merged.list;
  }
  if (makesKeysUnchecked(config, shape)) {
    const { lanes, logitsPerLoad } = shape;
    code.push(
      ...searchWithCare({
        list,
        loads: loadsPerRound * rounds,
        vector: `load * ${lanes}u + lane`,
        id: `load * ${lanes * logitsPerLoad}u`,
        ranked: 'logits',
      }),
    );
  }
  code.push(...list.map((name, k) => `var w${k} = ${addLane(name, reading)};`));
  return { code, length: list.length };
}

/** The WGSL that merges w0, w1, … over the lanes of a token until every lane holds the token's K winners, in `list`. */
export function mergeLanes(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  path: ExchangePath,
  length: number,
): { code: readonly string[]; list: readonly string[] } {
  const code: string[] = [];
  let list: readonly string[] = names('w', length);
  for (let distance = 1; distance < shape.lanes; distance *= 2) {
    const merged = mergeWithPartner(shape, path, distance, list, config.topK, 'p', distance * 2 >= shape.lanes);
    code.push(...merged.code);
    list = merged.list;
  }
  if (list.length < config.topK) throw new Error(`A token's lanes hold ${list.length} keys, but K is ${config.topK}.`);
  return { code, list };
}

/** Whether keys of whole vectors are made without a look at NaN. Past a row's end there would always be some. */
export function makesKeysUnchecked(config: ResolvedRouterConfig, shape: LaunchShape): boolean {
  return shape.logitsPerLoad > 1 && !isPartial(config, shape);
}

function readKeys(reading: KeyReading): string[] {
  const { config, shape, isPacked, rounds, loadsPerRound } = reading;
  const { lanes, logitsPerLoad } = shape;
  const code: string[] = [];
  for (let load = 0; load < loadsPerRound; load++) {
    const start = load * lanes * logitsPerLoad;
    const idOf = (offset: number): string => (rounds > 1 ? `first + ${start + offset}u` : `${start + offset}u`);
    const tagOf = (offset: number): string => {
      const tag = `${0xffff - start - offset}u`;
      return rounds > 1 ? `(${tag} - first)` : tag;
    };
    const key = (offset: number, order: string): string =>
      isPacked ? `to_key(${order}, ${tagOf(offset)})` : `vec2<u32>(${order}, ${idOf(offset)})`;
    const first = load * logitsPerLoad;
    if (logitsPerLoad === 1) {
      const expert = `${idOf(0)} + lane`;
      code.push(`var c${first} = ${key(0, readOrder(reading, expert))};`);
      continue;
    }
    const vector = rounds > 1 ? `first / ${logitsPerLoad}u + ${load * lanes}u + lane` : `${load * lanes}u + lane`;
    if (makesKeysUnchecked(config, shape)) {
      const keys = keysPerVector(config, names('c', loadsPerRound * logitsPerLoad), load);
      code.push(`let v${load} = ${ordersOfVector(vector)};`);
      code.push(...keysOfVector(config, `v${load}`, keys, (i) => ({ id: idOf(i), tag: tagOf(i) })));
    } else if (config.logitsDtype === 'f32') {
      code.push(`let v${load} = load_vector(row, ${vector});`);
      ['x', 'y', 'z', 'w'].forEach((part, i) => {
        code.push(`var c${first + i} = ${key(i, `to_order(v${load}.${part})`)};`);
      });
    } else {
      code.push(`let v${load} = ${ordersOfVector(vector)};`);
      ['x', 'y', 'z', 'w'].forEach((part, i) => {
        code.push(`var c${first + 2 * i} = ${key(2 * i, `v${load}.${part} << 16u`)};`);
        code.push(`var c${first + 2 * i + 1} = ${key(2 * i + 1, `v${load}.${part} & 0xFFFF0000u`)};`);
      });
    }
  }
  return code;
}

function readOrder({ config, shape, isPacked, rounds, loadsPerRound }: KeyReading, expert: string): string {
  if (ranksByChoice(config)) {
    const isPastEnd = loadsPerRound * rounds * shape.lanes !== config.experts;
    const at = `choice_orders[slot * EXPERTS + ${isPastEnd ? `min(${expert}, EXPERTS - 1u)` : expert}]`;
    return isPastEnd ? `select(0u, ${at}, ${expert} < EXPERTS)` : at;
  }
  return isPacked ? `to_unchecked_order(load_bits(row, ${expert}))` : `to_order(load_bits(row, ${expert}))`;
}

/** A key whose id counts from the lane's first logit, made to count from expert 0. */
function addLane(key: string, { shape, isPacked }: KeyReading): string {
  if (shape.lanes === 1) return key;
  const first = shape.logitsPerLoad === 1 ? 'lane' : `lane * ${shape.logitsPerLoad}u`;
  return isPacked ? `${key} - ${first}` : `${key} + vec2<u32>(0u, ${first})`;
}
