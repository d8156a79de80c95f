/**
 * Tools beyond plain functions, as functions: the model knows nothing else.
 *
 * A custom tool takes free text. The model gets it as a function with one text, `input`, which grammars hold it to.
 */

import type { ToolDeclaration } from '../../request.ts';

/** What the model is told, and what its calls mean to the client. */
export interface RequestTools {
  readonly declarations: readonly ToolDeclaration[];
  /** Names of the functions that stand for custom tools. */
  readonly custom: ReadonlySet<string>;
  /** Where functions out of namespaces come from, by the name that the model knows. */
  readonly namespaced: ReadonlyMap<string, { readonly namespace: string; readonly name: string }>;
}

/** How a custom tool's text is to look. */
export interface CustomFormat {
  readonly type: 'text' | 'grammar';
  readonly syntax?: string | null | undefined;
  readonly definition?: string | null | undefined;
}

/** A custom tool as the function that stands for it. A grammar is told, not enforced. */
export function customDeclaration(
  name: string,
  description: string | null | undefined,
  format: CustomFormat | null | undefined,
): ToolDeclaration {
  const grammar =
    format?.type === 'grammar' && format.definition != null
      ? `The input follows this ${format.syntax ?? ''} grammar:\n${format.definition}`
      : '';
  const about = [description ?? '', grammar].filter((text) => text !== '').join('\n\n');
  return {
    name,
    ...(about === '' ? {} : { description: about }),
    parameters: {
      type: 'object',
      properties: { input: { type: 'string', description: 'The whole input, as free text' } },
      required: ['input'],
      additionalProperties: false,
    },
    strict: true,
  };
}

/** The arguments of a custom tool's function for a free text. */
export function argumentsOf(input: string): string {
  return JSON.stringify({ input });
}

/** The free text in such arguments; the arguments themselves where they are something else. */
export function freeTextOf(args: string): string {
  try {
    const value: unknown = JSON.parse(args);
    if (typeof value === 'object' && value !== null && 'input' in value && typeof value.input === 'string') {
      return value.input;
    }
  } catch {
    // An answer that was cut short within its JSON.
  }
  return args;
}
