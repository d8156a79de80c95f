/** The two forms of keys in kernels/parts/keys.wgsl, as expressions and statements of WGSL. */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { hasWideKeys } from './launch-geometry.ts';

/** An expert's id in a key that is made: a number, and perhaps a variable that is added to it. */
export interface KeyId {
  readonly number: number;
  readonly variable?: string;
}

/** How a shader makes keys and takes them apart. */
export interface KeyForm {
  /** A key of an order that may be NaN's; of the bits' order or, where keys are packed, of the unchecked order. */
  readonly makeChecked: (order: string, id: KeyId) => string;
  /** A key of an order that is no NaN's, or is looked at later. */
  readonly makeUnchecked: (order: string, id: KeyId) => string;
  readonly orderOf: (key: string) => string;
  readonly idOf: (key: string) => string;
  /** The key with a number added to its id. */
  readonly addToId: (key: string, added: string) => string;
  /** The statement that adds a number to the id of the key in a variable. */
  readonly raiseId: (variable: string, added: string) => string;
}

/** A 16-bit order above 0xFFFF - id, in one word: `parts/keys.wgsl` with PACKED_KEYS. */
const PACKED_KEYS: KeyForm = {
  makeChecked: (order, id) => `to_key(${order}, ${tagOf(id)})`,
  makeUnchecked: (order, id) => `(${order}) | ${tagOf(id)}`,
  orderOf: (key) => `${key} & 0xFFFF0000u`,
  idOf: (key) => `~${key} & 0xFFFFu`,
  addToId: (key, added) => `${key} - ${added}`,
  raiseId: (variable, added) => `${variable} -= ${added};`,
};

/** A 32-bit order beside the id. */
const WIDE_KEYS: KeyForm = {
  makeChecked: (order, id) => `vec2<u32>(${order}, ${sumOf(id)})`,
  makeUnchecked: (order, id) => `vec2<u32>(${order}, ${sumOf(id)})`,
  orderOf: (key) => `${key}.x`,
  idOf: (key) => `${key}.y`,
  addToId: (key, added) => `${key} + vec2<u32>(0u, ${added})`,
  raiseId: (variable, added) => `${variable}.y += ${added};`,
};

/** The form of a configuration's keys. */
export function keyForm(config: ResolvedRouterConfig): KeyForm {
  return hasWideKeys(config) ? WIDE_KEYS : PACKED_KEYS;
}

/** The expression of an id. */
export function sumOf({ number, variable }: KeyId): string {
  return variable === undefined ? `${number}u` : `${variable} + ${number}u`;
}

function tagOf({ number, variable }: KeyId): string {
  const tag = `${0xffff - number}u`;
  return variable === undefined ? tag : `(${tag} - ${variable})`;
}
