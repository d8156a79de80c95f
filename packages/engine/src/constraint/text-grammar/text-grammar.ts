/**
 * Grammars of free text as one regular expression, so that the grammar of a JSON string can hold a text to them.
 *
 * Lark's grammars are followed where they are regular: a rule that leads back to itself in its midst, or through others, has
 * texts of brackets inside one another, which no automaton can follow.
 */

import { checkLength } from './expression-length.ts';
import { withoutLinearRecursion } from './linear-recursion.ts';
import { type Expansion, type LarkGrammar, readLark } from './lark-syntax.ts';
import { ecmaExpression } from './rust-expression.ts';
import { TextGrammarError } from './text-grammar-error.ts';

/** The languages in which OpenAI's custom tools may say how their input looks. */
export const GRAMMAR_SYNTAXES = ['lark', 'regex'] as const;

export type GrammarSyntax = (typeof GRAMMAR_SYNTAXES)[number];

/** Rules and brackets inside one another: what reads the expression calls itself for each. */
const MOST_DEPTH = 200;

/** Where Lark begins to read. */
const START = 'start';

/**
 * The expression that matches the grammar's texts, each as a whole: ECMAScript's, with the flag `u`.
 *
 * @throws TextGrammarError for what is no grammar, and for one that is not regular or has what is not followed
 */
export function textExpression(syntax: GrammarSyntax, definition: string): string {
  checkLength(definition);
  const expression = syntax === 'regex' ? ecmaExpression(definition) : new LarkExpression(readLark(definition)).whole();
  return `^(?:${expression})$`;
}

class LarkExpression {
  readonly #grammar: LarkGrammar;
  readonly #known = new Map<string, string>();
  readonly #open = new Set<string>();
  /** What may follow any terminal. */
  readonly #between: string;
  #depth = 0;

  constructor(grammar: LarkGrammar) {
    this.#grammar = grammar;
    const ignored = grammar.ignored.map((expansion) => this.#expression(expansion, true));
    this.#between = ignored.length === 0 ? '' : `(?:${ignored.join('|')})*`;
  }

  whole(): string {
    if (!this.#grammar.definitions.has(START)) throw new TextGrammarError(`no rule called "${START}"`);
    return this.#between + this.#named(START, false);
  }

  /** @param isTerminal Whether nothing is ignored between the parts. */
  #expression(expansion: Expansion, isTerminal: boolean): string {
    if (this.#depth >= MOST_DEPTH)
      throw new TextGrammarError(`more than ${MOST_DEPTH} rules and brackets inside one another`);
    this.#depth += 1;
    const expression = this.#expressionOf(expansion, isTerminal);
    this.#depth -= 1;
    return expression;
  }

  #expressionOf(expansion: Expansion, isTerminal: boolean): string {
    switch (expansion.kind) {
      case 'expression':
        return `(?:${expansion.source})${isTerminal ? '' : this.#between}`;
      case 'name':
        return this.#named(expansion.name, isTerminal);
      case 'sequence':
        return this.#joined(expansion.parts, '', isTerminal);
      case 'choice':
        return `(?:${this.#joined(expansion.parts, '|', isTerminal)})`;
      case 'repetition':
        return `(?:${this.#expression(expansion.part, isTerminal)})${expansion.count}`;
      default:
        return expansion satisfies never;
    }
  }

  #joined(parts: readonly Expansion[], separator: string, isTerminal: boolean): string {
    let joined = '';
    for (const [index, part] of parts.entries()) {
      joined += (index === 0 ? '' : separator) + this.#expression(part, isTerminal);
      checkLength(joined);
    }
    return joined;
  }

  #named(name: string, isTerminal: boolean): string {
    const definition = this.#grammar.definitions.get(name);
    if (definition === undefined) throw new TextGrammarError(`${name}, which is not defined`);
    if (!isTerminalName(name)) {
      if (isTerminal) throw new TextGrammarError(`the rule ${name} inside a terminal`);
      return this.#defined(name, definition, false);
    }
    return this.#defined(name, definition, true) + (isTerminal ? '' : this.#between);
  }

  #defined(name: string, definition: Expansion, isTerminal: boolean): string {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#open.has(name)) {
      throw new TextGrammarError(
        `${name}, which leads back to itself: that is followed at one end of its own rule only, as in a list`,
      );
    }
    this.#open.add(name);
    const expression = this.#expression(isTerminal ? definition : withoutLinearRecursion(name, definition), isTerminal);
    this.#open.delete(name);
    this.#known.set(name, expression);
    return expression;
  }
}

/** Lark tells terminals by their upper case. */
function isTerminalName(name: string): boolean {
  return /^_?[A-Z]/.test(name);
}
