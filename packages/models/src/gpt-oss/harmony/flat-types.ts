/**
 * Flat types out of JSON Schema, in the words of the embedded checkpoint's chat template: enums, arrays and the plain
 * types; nested objects are `object`, anything else `any`.
 */

import { arrayOf, isSchema, propertiesOf, requiredOf } from './json-schema.ts';
import type { JsonSchema, JsonValue } from './types.ts';

/** The body of an object type: one line for each property, without recursion. */
export function flatObjectType(schema: JsonSchema): string {
  const required = requiredOf(schema);
  const lines = propertiesOf(schema).map(([name, property]) => {
    const description = property['description'];
    const comment = typeof description === 'string' && description !== '' ? `// ${description}\n` : '';
    const label = required.has(name) ? name : `${name}?`;
    return `${comment}${label}: ${flatType(property)},${defaultComment(property['default'])}\n`;
  });
  return `{\n${lines.join('')}}`;
}

function flatType(schema: JsonSchema): string {
  const values = arrayOf(schema['enum']);
  if (values.length > 0) return values.map(templateJson).join(' | ');
  switch (schema['type']) {
    case 'array':
      return `${isSchema(schema['items']) ? flatType(schema['items']) : 'any'}[]`;
    case 'integer':
      return 'number';
    case 'string':
    case 'number':
    case 'boolean':
    case 'object':
      return schema['type'];
    default:
      return 'any';
  }
}

function defaultComment(value: JsonValue | undefined): string {
  if (value === undefined) return '';
  return ` // default: ${typeof value === 'string' ? value : templateJson(value)}`;
}

/** JSON as chat templates write it: with a space after every comma and colon, as in Python. */
function templateJson(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => templateJson(item)).join(', ')}]`;
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${templateJson(member)}`);
  return `{${members.join(', ')}}`;
}
