/**
 * Keywords' values, checked.
 */

import type { SchemaNode } from './formula.ts';
import { isJsonObject, type JsonObject, own } from './references.ts';
import { pointerTo, SchemaRefusal } from './refusal.ts';

const TYPE_NAMES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const;
export type TypeName = (typeof TYPE_NAMES)[number];

/** The keywords of one subschema. A value of a wrong type is refused with the keyword. */
export class KeywordValues {
  readonly node: SchemaNode;
  readonly #schema: JsonObject;

  constructor(node: SchemaNode) {
    this.node = node;
    this.#schema = isJsonObject(node.schema) ? node.schema : {};
  }

  has(keyword: string): boolean {
    return Object.hasOwn(this.#schema, keyword);
  }

  get(keyword: string): unknown {
    return own(this.#schema, keyword);
  }

  refusal(keyword: string, reason: string): SchemaRefusal {
    return new SchemaRefusal(keyword, pointerTo(this.node.pointer, keyword), reason);
  }

  types(): readonly TypeName[] | undefined {
    const value = this.get('type');
    if (value === undefined) return undefined;
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    const known = list.filter((name): name is TypeName => TYPE_NAMES.includes(name as TypeName));
    if (known.length < list.length || list.length === 0) {
      throw this.refusal('type', `which is none of ${TYPE_NAMES.join(', ')}`);
    }
    return known;
  }

  number(keyword: string): number | undefined {
    const value = this.get(keyword);
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    throw this.refusal(keyword, 'which is no number');
  }

  count(keyword: string): number | undefined {
    const value = this.number(keyword);
    if (value === undefined || (Number.isInteger(value) && value >= 0)) return value;
    throw this.refusal(keyword, 'which is no whole number of at least 0');
  }

  string(keyword: string): string | undefined {
    const value = this.get(keyword);
    if (value === undefined || typeof value === 'string') return value;
    throw this.refusal(keyword, 'which is no string');
  }

  boolean(keyword: string): boolean | undefined {
    const value = this.get(keyword);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.refusal(keyword, 'which is neither true nor false');
  }

  list(keyword: string): readonly unknown[] | undefined {
    const value = this.get(keyword);
    if (value === undefined || Array.isArray(value)) return value;
    throw this.refusal(keyword, 'which is no list');
  }

  names(keyword: string): readonly string[] | undefined {
    const list = this.list(keyword);
    if (list === undefined || list.every((name) => typeof name === 'string')) return list;
    throw this.refusal(keyword, 'which is no list of strings');
  }

  map(keyword: string): JsonObject | undefined {
    const value = this.get(keyword);
    if (value === undefined || isJsonObject(value)) return value;
    throw this.refusal(keyword, 'which is no object');
  }
}
