/**
 * Arguments that are one free text under a grammar of Lark's, told where others have the JSON text of a schema. A list is
 * no schema, so that no schema of a request passes for one.
 */

/** The schema of such arguments, but for the grammar. */
export const TEXT_ARGUMENTS = {
  type: 'object',
  properties: { input: { type: 'string' } },
  required: ['input'],
  additionalProperties: false,
};

/** @param definition The grammar, in Lark's language. */
export function textSchema(definition: string): string {
  return JSON.stringify(['lark', definition]);
}

/** The grammar of such a text; null for a schema. */
export function definitionIn(schema: string): string | null {
  if (!schema.startsWith('[')) return null;
  const [syntax, definition] = JSON.parse(schema) as readonly unknown[];
  return syntax === 'lark' && typeof definition === 'string' ? definition : null;
}
