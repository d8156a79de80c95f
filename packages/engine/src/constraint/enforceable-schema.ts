/**
 * Which JSON schemas the grammar library enforces whole. It drops or misreads many keywords without a word: a schema
 * that has one of them is refused by the keyword's name, so that no answer is let through that the schema forbids.
 *
 * @module
 */
import { InvalidRequestError } from '../errors.ts';

/** Every keyword of draft 2020-12 and of older drafts that restricts values or says where references lead. */
const RESTRICTING = new Set(
  (
    '$anchor $dynamicAnchor $dynamicRef $id $ref $recursiveRef additionalItems additionalProperties allOf anyOf const ' +
    'contains dependencies dependentRequired dependentSchemas else enum exclusiveMaximum exclusiveMinimum format if ' +
    'items maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minProperties minimum ' +
    'multipleOf not oneOf pattern patternProperties prefixItems properties propertyNames required then type ' +
    'unevaluatedItems unevaluatedProperties uniqueItems id'
  ).split(' '),
);
const TYPES = new Set(['array', 'boolean', 'integer', 'null', 'number', 'object', 'string']);
/** Keywords that stand alone: the library ignores what restricts values beside them. */
const ALONE = ['$ref', 'anyOf', 'const', 'enum'];
/** Names and texts that the library writes as they should be written. */
const PLAIN_TEXT = /^[^"\\\p{Cc}\p{Cs}]*$/u;

type Schema = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Checks one schema.
 *
 * @param field Where the request has it, for the error.
 * @param json The schema's JSON text.
 * @throws InvalidRequestError with the keyword and a JSON pointer to it
 */
export function checkEnforceable(field: string, json: string): void {
  const root: unknown = JSON.parse(json);
  const refuse = (pointer: string, what: string): never => {
    throw new InvalidRequestError(field, `${what} at #${pointer}, which cannot be enforced`, 'leave it out');
  };
  const keywords = (schema: Schema): string[] => Object.keys(schema).filter((key) => RESTRICTING.has(key));
  const resolve = (reference: string): unknown => {
    let value: unknown = root;
    for (const part of reference.split('/').slice(1)) value = isObject(value) ? value[part] : undefined;
    return value;
  };
  const seen = new Set<unknown>();
  const check = (schema: unknown, pointer: string, through: readonly unknown[]): void => {
    if (schema === true && pointer !== '') return;
    if (!isObject(schema)) return refuse(pointer, `${JSON.stringify(schema)} for a schema`);
    if (through.includes(schema)) return refuse(pointer, 'a $ref that leads to itself');
    if (seen.has(schema)) return;
    if (!('$ref' in schema) && !('anyOf' in schema)) seen.add(schema);
    const present = keywords(schema);
    const alone = ALONE.find((keyword) => present.includes(keyword));
    const beside = alone === undefined ? undefined : present.find((keyword) => keyword !== alone);
    if (beside !== undefined) refuse(`${pointer}/${beside}`, `"${beside}" beside "${alone}"`);
    for (const keyword of present) checkKeyword(schema, keyword, pointer, through);
  };
  const checkKeyword = (schema: Schema, keyword: string, pointer: string, through: readonly unknown[]): void => {
    const value = schema[keyword];
    const here = `${pointer}/${keyword}`;
    const isType = (type: string): boolean => schema['type'] === type;
    const fail = (): never => refuse(here, `"${keyword}"`);
    if (keyword === 'type') {
      const types = Array.isArray(value) ? value : [value];
      if (types.length === 0 || !types.every((type) => typeof type === 'string' && TYPES.has(type))) fail();
    } else if (keyword === 'properties') {
      if (!isType('object') || !isObject(value)) return fail();
      for (const [name, child] of Object.entries(value)) {
        if (!PLAIN_TEXT.test(name)) refuse(`${here}/${name}`, 'a property name with quotes, backslashes or controls');
        check(child, `${here}/${name}`, []);
      }
    } else if (keyword === 'required') {
      const { properties = {} } = schema;
      if (!isType('object') || !Array.isArray(value) || !isObject(properties)) return fail();
      if (!value.every((name) => typeof name === 'string' && Object.hasOwn(properties, name))) fail();
    } else if (keyword === 'additionalProperties') {
      if (value !== false && (value !== true || 'properties' in schema) && isObject(schema['properties'])) fail();
      if (!isType('object')) fail();
      if (value !== false) check(value, here, []);
    } else if (keyword === 'items') {
      if (!isType('array')) fail();
      check(value, here, []);
    } else if (keyword === 'minItems' || keyword === 'maxItems') {
      if (!isType('array') || !isObject(schema['items']) || !Number.isInteger(value) || Number(value) < 0) fail();
      if (Number(schema['minItems'] ?? 0) > Number(schema['maxItems'] ?? Infinity)) fail();
    } else if (keyword === 'enum' || keyword === 'const') {
      const values: unknown[] = keyword === 'const' ? [value] : Array.isArray(value) ? value : [];
      const plain = (one: unknown): boolean =>
        one === null ||
        typeof one === 'boolean' ||
        (typeof one === 'string' && PLAIN_TEXT.test(one)) ||
        (typeof one === 'number' && Number.isSafeInteger(one));
      if (values.length === 0 || !values.every(plain)) fail();
    } else if (keyword === 'anyOf') {
      if (!Array.isArray(value) || value.length === 0) return fail();
      value.forEach((child, index) => check(child, `${here}/${index}`, [...through, schema]));
    } else if (keyword === '$ref') {
      if (typeof value !== 'string' || !/^#(\/[\w-]+)*$/.test(value)) return fail();
      check(resolve(value), here, [...through, schema]);
    } else if (keyword === 'minimum' || keyword === 'maximum') {
      // Below zero, the library lets a lone minus through.
      const bounds = [schema['minimum'], schema['maximum']].map(Number);
      if (!isType('integer') || !bounds.every((bound) => Number.isSafeInteger(bound) && bound >= 0)) fail();
      if ((bounds[0] ?? 0) > (bounds[1] ?? 0)) fail();
    } else {
      fail();
    }
  };
  check(root, '', []);
}
