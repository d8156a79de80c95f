/**
 * Writes how a lane reads its part of a row (kernels/parts/rows.wgsl, or choice scores of expert_groups.wgsl) and keeps
 * the best keys of it.
 */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { ranksByChoice } from '../../derived-config.ts';
import { searchWithCare } from './careful-search.ts';
import { keyForm, sumOf } from './keys.ts';
import type { KeyId } from './keys.ts';
import { hasPartialLoads, hasWideKeys, selectionRounds } from './launch-geometry.ts';
import type { KernelForm, LaunchGeometry } from './launch-geometry.ts';
import { mergeLists, selectBest } from './sorted-lists.ts';
import { block, names } from './statements.ts';
import type { SortedList } from './statements.ts';

/** The WGSL that leaves the best keys of a lane's part of the row, sorted, in w0, w1, ... */
export function bestOfRow(form: KernelForm): SortedList {
  const { config, geometry } = form;
  const { topK } = config;
  const { lanesPerToken, logitsPerLoad } = geometry;
  const { loads, rounds } = selectionRounds(config, geometry);
  const keys = names('c', loads * logitsPerLoad);
  const best = selectBest(keys, topK);
  const round = [...keysOfRound(form, keys), ...best.code];
  const code: string[] = [];
  let { list } = best;
  if (rounds === 1) {
    code.push(...round);
  } else {
    const running = names('r', topK);
    const merged = mergeLists([running, best.list], topK);
    list = merged.list;
    code.push(
      ...running.map((name) => `var ${name} = LOWEST_KEY;`),
      ...block(`for (var first = 0u; first < EXPERTS; first += ${keys.length * lanesPerToken}u)`, [
        ...round,
        ...merged.code,
      ]),
    );
  }
  if (makesKeysUnchecked(config, geometry)) {
    code.push(
      ...searchWithCare({
        list,
        loads: loads * rounds,
        vector: `load * ${lanesPerToken}u + lane`,
        id: `load * ${lanesPerToken * logitsPerLoad}u`,
        ranked: 'logits',
      }),
    );
  }
  // Up to here the ids of keys count from the lane's first logit.
  const first = logitsPerLoad === 1 ? 'lane' : `lane * ${logitsPerLoad}u`;
  const withLane = (key: string): string => (lanesPerToken === 1 ? key : keyForm(config).addToId(key, first));
  const result = names('w', list.length);
  code.push(...list.map((key, k) => `var ${result[k]} = ${withLane(key)};`));
  return { code, list: result };
}

/** Whether keys of whole vectors are made without a look at NaN. Past a row's end there would always be some. */
export function makesKeysUnchecked(config: ResolvedRouterConfig, geometry: LaunchGeometry): boolean {
  return geometry.logitsPerLoad > 1 && !hasPartialLoads(config, geometry);
}

/** The expression of the orders of a vector's logits, NaN unchecked, two to a word where they are 16-bit. */
export function ordersOfVector(vector: string): string {
  return `to_unchecked_orders(load_vector(row, ${vector}))`;
}

/** The expression of logit number i of a vector, or of its order; a 16-bit one in the upper half. */
export function elementOfVector(config: ResolvedRouterConfig, vector: string, i: number): string {
  if (config.logitsDtype === 'f32') return `${vector}.${'xyzw'[i]}`;
  const word = `${vector}.${'xyzw'[i >> 1]}`;
  return i % 2 === 0 ? `${word} << 16u` : `${word} & 0xFFFF0000u`;
}

/** The statements that declare the keys of one round of loads. */
function keysOfRound(form: KernelForm, keys: readonly string[]): string[] {
  const { config, geometry } = form;
  const { logitsPerLoad, lanesPerToken } = geometry;
  const { rounds } = selectionRounds(config, geometry);
  const { makeChecked, makeUnchecked } = keyForm(config);
  const idOf = (number: number): KeyId => (rounds > 1 ? { number, variable: 'first' } : { number });
  if (logitsPerLoad === 1) {
    return keys.map((key, load) => {
      const id = idOf(load * lanesPerToken);
      return `var ${key} = ${makeChecked(orderOfExpert(form, `${sumOf(id)} + lane`), id)};`;
    });
  }
  const isUnchecked = makesKeysUnchecked(config, geometry);
  const isCheckedHere = !isUnchecked && hasWideKeys(config);
  const makeKey = isUnchecked ? makeUnchecked : makeChecked;
  return names('v', keys.length / logitsPerLoad).flatMap((loaded, load) => {
    const start = load * lanesPerToken;
    const vector = `${rounds > 1 ? `first / ${logitsPerLoad}u + ` : ''}${start}u + lane`;
    return [
      `let ${loaded} = ${isCheckedHere ? `load_vector(row, ${vector})` : ordersOfVector(vector)};`,
      ...keys.slice(load * logitsPerLoad, (load + 1) * logitsPerLoad).map((key, i) => {
        const element = elementOfVector(config, loaded, i);
        return `var ${key} = ${makeKey(isCheckedHere ? `to_order(${element})` : element, idOf(start * logitsPerLoad + i))};`;
      }),
    ];
  });
}

/** The expression of the order that an expert is ranked by; past the row's end, of what comes after every expert. */
function orderOfExpert({ config, geometry }: KernelForm, expert: string): string {
  if (!ranksByChoice(config)) {
    // to_key checks 16-bit orders itself.
    const order = hasWideKeys(config) ? 'to_order' : 'to_unchecked_order';
    return `${order}(load_bits(row, ${expert}))`;
  }
  if (!hasPartialLoads(config, geometry)) return `choice_orders[slot * EXPERTS + ${expert}]`;
  return `select(0u, choice_orders[slot * EXPERTS + min(${expert}, EXPERTS - 1u)], ${expert} < EXPERTS)`;
}
