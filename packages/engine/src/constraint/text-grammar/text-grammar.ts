/**
 * What a grammar of free text comes to: one regular expression where it is regular, so that the grammar of a JSON string
 * can hold a text to it, and rules that call one another where it is not.
 */

import { checkLength } from './expression-length.ts';
import { LarkExpressions } from './lark-expression.ts';
import { type LarkGrammar, readLark } from './lark-syntax.ts';
import { ecmaExpression } from './rust-expression.ts';
import { NoExpressionError, TextGrammarError } from './text-grammar-error.ts';

/** The languages in which OpenAI's custom tools may say how their input looks. */
export const GRAMMAR_SYNTAXES = ['lark', 'regex'] as const;

export type GrammarSyntax = (typeof GRAMMAR_SYNTAXES)[number];

/** Where Lark begins to read. */
export const START = 'start';

/**
 * The expression that matches the grammar's texts, each as a whole: ECMAScript's, with the flag `u`. Null for a grammar of
 * Lark's that is none: its rules lead back to themselves in their midst, or come to too much in one expression.
 *
 * @throws TextGrammarError for what is no grammar, and for what is not followed
 */
export function textExpression(syntax: GrammarSyntax, definition: string): string | null {
  if (syntax === 'regex') return wholeOf(ecmaExpression(checkLength(definition)));
  const grammar = larkGrammar(definition);
  const expressions = new LarkExpressions(grammar);
  try {
    return wholeOf(expressions.between + expressions.of({ kind: 'name', name: START }));
  } catch (error) {
    if (error instanceof NoExpressionError) return null;
    throw error;
  }
}

/** @throws TextGrammarError for what is no grammar, and for what is not followed */
export function larkGrammar(definition: string): LarkGrammar {
  const grammar = readLark(checkLength(definition));
  if (!grammar.definitions.has(START)) throw new TextGrammarError(`no rule called "${START}"`);
  return grammar;
}

/** Of whole texts only. */
export function wholeOf(expression: string): string {
  return `^(?:${expression})$`;
}
