import type { JsonSchema, JsonValue } from './types.ts';

/** Whether a value is a JSON object, and so can be a schema. */
export function isSchema(value: JsonValue | undefined): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The properties of an object schema, in their order. Boolean schemas count as `{}`. */
export function propertiesOf(schema: JsonSchema): readonly (readonly [name: string, schema: JsonSchema])[] {
  const properties = schema['properties'];
  if (!isSchema(properties)) return [];
  return Object.entries(properties).map(([name, value]) => [name, isSchema(value) ? value : {}] as const);
}

/** The names of the required properties. */
export function requiredOf(schema: JsonSchema): ReadonlySet<string> {
  return new Set(stringsOf(schema['required']));
}

/** The strings of an array; none if the value is no array. */
export function stringsOf(value: JsonValue | undefined): readonly string[] {
  return arrayOf(value).filter((item) => typeof item === 'string');
}

/** The array itself; empty if the value is no array. */
export function arrayOf(value: JsonValue | undefined): readonly JsonValue[] {
  return isJsonArray(value) ? value : [];
}

function isJsonArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Every line of a text as a `//` comment, each with a line break after it. */
export function commentLines(text: string, indent = ''): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `${indent}// ${line}\n`)
    .join('');
}
