/**
 * Tools beyond plain functions, as functions: the model knows nothing else.
 *
 * A custom tool takes free text. The model gets it as a function with one text, `input`, which grammars hold it to.
 */

import { type GrammarSyntax, textExpression } from '../../constraint/text-grammar/text-grammar.ts';
import { TextGrammarError } from '../../constraint/text-grammar/text-grammar-error.ts';
import type { ToolDeclaration } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';

/** What the model is told, and what its calls mean to the client. */
export interface RequestTools {
  readonly declarations: readonly ToolDeclaration[];
  /** Names of the functions that stand for custom tools. */
  readonly custom: ReadonlySet<string>;
  /** Where functions out of namespaces come from, by the name that the model knows. */
  readonly namespaced: ReadonlyMap<string, { readonly namespace: string; readonly name: string }>;
  /** Where the request says what a function's arguments are, by the function's name. */
  readonly schemaFields: ReadonlyMap<string, string>;
}

/** How a custom tool's text is to look. */
export interface TextGrammar {
  readonly syntax: GrammarSyntax;
  readonly definition: string;
}

/**
 * A custom tool as the function that stands for it.
 *
 * @param grammar The model is told of it, and held to it; null for any text.
 * @param field Where the request has the grammar's definition.
 * @throws OpenAiError 400 for a grammar that cannot be followed
 */
export function customDeclaration(
  name: string,
  description: string | null | undefined,
  grammar: TextGrammar | null,
  field: string,
): ToolDeclaration {
  const told = grammar === null ? '' : `The input follows this ${grammar.syntax} grammar:\n${grammar.definition}`;
  const about = [description ?? '', told].filter((text) => text !== '').join('\n\n');
  const expression = grammar === null ? undefined : expressionOf(grammar, field);
  const pattern = typeof expression === 'string' ? { pattern: expression } : {};
  return {
    name,
    ...(about === '' ? {} : { description: about }),
    parameters: {
      type: 'object',
      properties: { input: { type: 'string', description: 'The whole input, as free text', ...pattern } },
      required: ['input'],
      additionalProperties: false,
    },
    strict: true,
    ...(grammar !== null && expression === null ? { inputGrammar: grammar.definition } : {}),
  };
}

function expressionOf({ syntax, definition }: TextGrammar, field: string): string | null {
  try {
    return textExpression(syntax, definition);
  } catch (error) {
    if (!(error instanceof TextGrammarError)) throw error;
    throw badRequest(
      field,
      `The ${syntax} grammar cannot be enforced · found ${error.message} · simplify it, or leave format out and describe it`,
      'unsupported_grammar',
    );
  }
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
