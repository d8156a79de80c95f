/**
 * Where the references of a schema lead: pointers, anchors and embedded resources. Nothing is ever fetched.
 */

import type { SchemaNode } from './formula.ts';
import { pointerTo, SchemaRefusal } from './refusal.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A keyword's value; undefined where the schema does not have it itself. */
export function own(schema: JsonObject, keyword: string): unknown {
  return Object.hasOwn(schema, keyword) ? schema[keyword] : undefined;
}

const ROOT_BASE = 'schema:///';
const SCHEMA_KEYWORDS = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'contentSchema',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
  'unevaluatedItems',
  'unevaluatedProperties',
];
const LIST_KEYWORDS = ['allOf', 'anyOf', 'items', 'oneOf', 'prefixItems'];
const MAP_KEYWORDS = ['$defs', 'definitions', 'dependencies', 'dependentSchemas', 'patternProperties', 'properties'];
/** Drafts 3 to 7. */
const LEGACY_DIALECT = /^https?:\/\/json-schema\.org\/draft-0[3467]\/schema#?$/;

export class References {
  readonly root: SchemaNode | boolean;
  /** Whether the schema is of a dialect in which nothing counts beside `$ref`. */
  readonly isLegacy: boolean;
  /** Whether what `contains` has matched is evaluated: not so in draft 2019-09. */
  readonly containsEvaluates: boolean;
  readonly #nodes = new Map<object, SchemaNode>();
  readonly #constants = new Map<string, SchemaNode>();
  /** Resources and anchors by URI. */
  readonly #targets = new Map<string, { readonly schema: JsonObject; readonly pointer: string }>();
  readonly #dynamic = new Map<string, number>();
  readonly #bases = new Map<object, string>();
  #nextId = 0;

  /** @throws SchemaRefusal for what is no schema. */
  constructor(root: unknown) {
    if (typeof root !== 'boolean' && !isJsonObject(root)) throw new SchemaRefusal('schema', '', 'which is no object');
    const dialect = isJsonObject(root) ? own(root, '$schema') : undefined;
    this.containsEvaluates = dialect !== 'https://json-schema.org/draft/2019-09/schema';
    this.isLegacy = typeof dialect === 'string' && LEGACY_DIALECT.test(dialect);
    if (typeof root === 'boolean') {
      this.root = root;
      return;
    }
    this.#targets.set(ROOT_BASE, { schema: root, pointer: '' });
    this.#index(root, ROOT_BASE, '');
    this.root = this.node(root, ROOT_BASE, '');
  }

  /** A subschema as a node; the same for the same place. */
  node(schema: JsonObject, base: string, pointer: string): SchemaNode {
    let node = this.#nodes.get(schema);
    if (node === undefined) {
      node = { id: this.#nextId++, schema, base: this.#bases.get(schema) ?? base, pointer };
      this.#nodes.set(schema, node);
    }
    return node;
  }

  /** A schema for one value. */
  constant(value: unknown, pointer: string): SchemaNode {
    const key = canonicalJson(value);
    let node = this.#constants.get(key);
    if (node === undefined) {
      node = { id: this.#nextId++, schema: { const: value }, base: ROOT_BASE, pointer };
      this.#constants.set(key, node);
    }
    return node;
  }

  /**
   * A keyword's schema.
   *
   * @throws SchemaRefusal where it is no schema
   */
  child(parent: SchemaNode, value: unknown, ...path: readonly (string | number)[]): SchemaNode | boolean {
    if (typeof value === 'boolean') return value;
    const pointer = path.reduce(pointerTo, parent.pointer);
    if (!isJsonObject(value)) throw new SchemaRefusal(String(path[0]), pointer, 'which is no schema');
    return this.node(value, parent.base, pointer);
  }

  /** @throws SchemaRefusal where the reference leads nowhere. */
  resolve(from: SchemaNode, reference: unknown, keyword: string): SchemaNode | boolean {
    const here = pointerTo(from.pointer, keyword);
    const refuse = (reason: string): never => {
      throw new SchemaRefusal(keyword, here, reason);
    };
    if (typeof reference !== 'string') return refuse('which is no string');
    let url: URL;
    try {
      url = new URL(reference, from.base);
    } catch {
      return refuse('which is no reference');
    }
    const fragment = decodeFragment(url.hash.slice(1));
    url.hash = '';
    const resource = this.#targets.get(normal(url.href));
    if (resource === undefined) return refuse(`which leads out of the schema: ${reference}`);
    if (fragment === '') return this.#reach(resource.schema, resource.pointer);
    if (!fragment.startsWith('/')) {
      const anchored = this.#targets.get(`${normal(url.href)}#${fragment}`);
      return anchored === undefined
        ? refuse(`which leads nowhere: ${reference}`)
        : this.#reach(anchored.schema, anchored.pointer);
    }
    let value: unknown = resource.schema;
    let pointer = resource.pointer;
    let base = this.#bases.get(resource.schema) ?? ROOT_BASE;
    for (const part of fragment.slice(1).split('/')) {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (Array.isArray(value)) value = /^(0|[1-9]\d*)$/.test(name) ? (value as unknown[])[Number(name)] : undefined;
      else value = isJsonObject(value) ? own(value, name) : undefined;
      pointer = pointerTo(pointer, name);
      if (isJsonObject(value)) base = this.#bases.get(value) ?? base;
    }
    if (typeof value === 'boolean') return value;
    if (!isJsonObject(value)) return refuse(`which leads to no schema: ${reference}`);
    return this.node(value, base, pointer);
  }

  /** How many schemas have a `$dynamicAnchor` of this name. */
  dynamicAnchors(name: string): number {
    return this.#dynamic.get(name) ?? 0;
  }

  #reach(schema: JsonObject, pointer: string): SchemaNode {
    return this.node(schema, ROOT_BASE, pointer);
  }

  #index(schema: JsonObject, outer: string, pointer: string): void {
    let base = outer;
    const id = own(schema, '$id');
    const ignored = this.isLegacy && Object.hasOwn(schema, '$ref');
    if (typeof id === 'string' && !ignored) {
      try {
        const url = new URL(id, outer);
        const isAnchor = id.startsWith('#');
        if (!isAnchor) url.hash = '';
        base = isAnchor ? outer : normal(url.href);
        this.#targets.set(isAnchor ? `${outer}${id}` : base, { schema, pointer });
      } catch {
        throw new SchemaRefusal('$id', pointerTo(pointer, '$id'), 'which is no URI');
      }
    }
    this.#bases.set(schema, base);
    for (const keyword of ['$anchor', '$dynamicAnchor']) {
      const anchor = own(schema, keyword);
      if (typeof anchor !== 'string') continue;
      this.#targets.set(`${base}#${anchor}`, { schema, pointer });
      if (keyword === '$dynamicAnchor') this.#dynamic.set(anchor, (this.#dynamic.get(anchor) ?? 0) + 1);
    }
    const visit = (value: unknown, ...path: readonly (string | number)[]): void => {
      if (isJsonObject(value)) this.#index(value, base, path.reduce(pointerTo, pointer));
    };
    for (const keyword of SCHEMA_KEYWORDS) visit(own(schema, keyword), keyword);
    for (const keyword of LIST_KEYWORDS) {
      const list = own(schema, keyword);
      if (Array.isArray(list)) list.forEach((value, index) => visit(value, keyword, index));
    }
    for (const keyword of MAP_KEYWORDS) {
      const map = own(schema, keyword);
      if (isJsonObject(map)) for (const [name, value] of Object.entries(map)) visit(value, keyword, name);
    }
  }
}

function normal(uri: string): string {
  return uri.endsWith('#') ? uri.slice(0, -1) : uri;
}

function decodeFragment(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** Equal for equal JSON values, in whatever order their properties come. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (!isJsonObject(value)) return JSON.stringify(value === 0 ? 0 : value);
  const entries = Object.keys(value).sort();
  return `{${entries.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join()}}`;
}
