/**
 * Whole types out of JSON Schema, in the words of openai/harmony's renderer: nested objects, arrays, string enums,
 * `oneOf`, lists of types, `nullable`, titles, descriptions, examples and defaults. What that renderer has no words for
 * (`anyOf`, `$ref`, `const`, numeric enums) is `any` or the plain type, as there.
 */

import { arrayOf, commentLines, isSchema, propertiesOf, requiredOf, stringsOf } from './json-schema.ts';
import type { JsonSchema, JsonValue } from './types.ts';

const INDENT_OF_PROPERTY_TYPE = '    ';
const INDENT_OF_VARIANT = '   ';

/** The type of a schema. Its continuation lines begin with `indent`. */
export function nestedType(schema: JsonSchema, indent = ''): string {
  const variants = arrayOf(schema['oneOf']).filter(isSchema);
  if (variants.length > 0) return variants.map((variant) => `\n${indent} | ${variantType(variant, indent)}`).join('');

  const type = schema['type'];
  const alternatives = stringsOf(type);
  if (alternatives.length > 0) return alternatives.map((name) => (name === 'integer' ? 'number' : name)).join(' | ');

  switch (type) {
    case 'object':
      return objectType(schema, indent);
    case 'string': {
      const values = stringsOf(schema['enum']);
      return values.length > 0 ? values.map((value) => JSON.stringify(value)).join(' | ') : 'string';
    }
    case 'number':
    case 'integer':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array': {
      const items = schema['items'];
      return isSchema(items) ? `${nestedType(items, indent)}[]` : 'Array<any>';
    }
    default:
      return 'any';
  }
}

function objectType(schema: JsonSchema, indent: string): string {
  const required = requiredOf(schema);
  let text = typeof schema['description'] === 'string' ? commentLines(schema['description'], indent) : '';
  text += '{\n';
  for (const [name, property] of propertiesOf(schema)) {
    const label = required.has(name) ? name : `${name}?`;
    text += Array.isArray(property['oneOf'])
      ? unionProperty(label, property, indent)
      : plainProperty(label, property, indent);
  }
  return `${text}${indent}}`;
}

function plainProperty(label: string, property: JsonSchema, indent: string): string {
  let text = titleLines(property, indent);
  if (typeof property['description'] === 'string') text += commentLines(property['description'], indent);
  text += exampleLines(property, indent);
  text += `${indent}${label}: ${nullable(property, nestedType(property, indent + INDENT_OF_PROPERTY_TYPE))},`;
  if (property['default'] !== undefined) text += ` // ${defaultNote(property['default'], property)}`;
  return `${text}\n`;
}

function unionProperty(label: string, property: JsonSchema, indent: string): string {
  const variants = arrayOf(property['oneOf']).filter(isSchema);
  const description = typeof property['description'] === 'string' ? property['description'] : null;
  // A description that the first variant repeats is written once, beside that variant.
  const above = description !== null && description !== variants[0]?.['description'];

  let text = titleLines(property, indent) + exampleLines(property, indent);
  if (above) text += commentLines(description, indent);
  if (property['default'] !== undefined) text += `${indent}// ${defaultNote(property['default'], property)}\n`;
  text += `${indent}${label}:\n`;
  for (const [index, variant] of variants.entries()) {
    const notes: string[] = [];
    const own = variant['description'];
    if (typeof own === 'string' && !(index === 0 && above) && own !== description) notes.push(oneLine(own));
    if (variant['default'] !== undefined) notes.push(defaultNote(variant['default'], variant));
    const note = notes.length > 0 ? ` // ${notes.join(' ')}` : '';
    text += `${indent} | ${nullable(variant, nestedType(variant, indent + INDENT_OF_VARIANT))}${note}\n`;
  }
  return `${text}${indent},\n`;
}

function variantType(variant: JsonSchema, indent: string): string {
  const notes: string[] = [];
  if (typeof variant['description'] === 'string') notes.push(oneLine(variant['description']));
  if (variant['default'] !== undefined) notes.push(`default: ${JSON.stringify(variant['default'])}`);
  const type = nullable(variant, nestedType(variant, indent + INDENT_OF_VARIANT));
  return notes.length > 0 ? `${type} // ${notes.join(' ')}` : type;
}

/** A default as the published prompts have it: strings in quotes, but the values of an enum bare. */
function defaultNote(value: JsonValue, schema: JsonSchema): string {
  const bare = typeof value === 'string' && arrayOf(schema['enum']).length > 0;
  return `default: ${bare ? oneLine(value) : JSON.stringify(value)}`;
}

function titleLines(property: JsonSchema, indent: string): string {
  return typeof property['title'] === 'string' ? `${commentLines(property['title'], indent)}${indent}//\n` : '';
}

function exampleLines(property: JsonSchema, indent: string): string {
  if (arrayOf(property['examples']).length === 0) return '';
  const examples = stringsOf(property['examples']).map((example) => `${indent}// - ${JSON.stringify(example)}\n`);
  return `${indent}// Examples:\n${examples.join('')}`;
}

function nullable(schema: JsonSchema, type: string): string {
  return schema['nullable'] === true && !type.includes('null') ? `${type} | null` : type;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ');
}
