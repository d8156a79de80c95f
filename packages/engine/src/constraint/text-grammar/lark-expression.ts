/**
 * Parts of Lark's grammars as regular expressions: all that does not lead back to itself in its midst.
 */

import { isTooLong } from './expression-length.ts';
import { withoutLinearRecursion } from './linear-recursion.ts';
import type { Expansion, LarkGrammar } from './lark-syntax.ts';
import { NoExpressionError, TextGrammarError } from './text-grammar-error.ts';

/** Rules and brackets inside one another: what reads the expression calls itself for each. */
const MOST_DEPTH = 200;

/** Lark tells terminals by their upper case. */
export function isTerminalName(name: string): boolean {
  return /^_?[A-Z]/.test(name);
}

/** What a name stands for. @throws TextGrammarError where it stands for nothing */
export function definitionOf(grammar: LarkGrammar, name: string): Expansion {
  const definition = grammar.definitions.get(name);
  if (definition === undefined) throw new TextGrammarError(`${name}, which is not defined`);
  return isTerminalName(name) ? definition : withoutLinearRecursion(name, definition);
}

export class LarkExpressions {
  readonly #grammar: LarkGrammar;
  readonly #known = new Map<string, string | NoExpressionError>();
  readonly #open = new Set<string>();
  /** What may follow any terminal, and begin the text. */
  readonly between: string;
  #depth = 0;

  /** @throws TextGrammarError where what is ignored cannot be followed */
  constructor(grammar: LarkGrammar) {
    this.#grammar = grammar;
    const ignored = grammar.ignored.map((expansion) => this.#expression(expansion, true));
    this.between = ignored.length === 0 ? '' : `(?:${ignored.join('|')})*`;
  }

  /**
   * The expression of a part of a rule, with what is ignored behind its terminals.
   *
   * @throws NoExpressionError for what leads back to itself or comes to too much, TextGrammarError for what is no grammar
   */
  of(expansion: Expansion): string {
    this.#open.clear();
    this.#depth = 0;
    return this.#expression(expansion, false);
  }

  /** @param isTerminal Whether nothing is ignored between the parts. */
  #expression(expansion: Expansion, isTerminal: boolean): string {
    if (this.#depth >= MOST_DEPTH)
      throw new NoExpressionError(`more than ${MOST_DEPTH} rules and brackets inside one another`);
    this.#depth += 1;
    const expression = this.#expressionOf(expansion, isTerminal);
    this.#depth -= 1;
    return expression;
  }

  #expressionOf(expansion: Expansion, isTerminal: boolean): string {
    switch (expansion.kind) {
      case 'expression':
        return `(?:${expansion.source})${isTerminal ? '' : this.between}`;
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
      if (isTooLong(joined)) throw new NoExpressionError('rules that come to too many characters');
    }
    return joined;
  }

  #named(name: string, isTerminal: boolean): string {
    if (isTerminal && !isTerminalName(name)) throw new TextGrammarError(`the rule ${name} inside a terminal`);
    const known = this.#known.get(name);
    if (known instanceof NoExpressionError) throw known;
    const expression = known ?? this.#defined(name);
    return isTerminalName(name) && !isTerminal ? expression + this.between : expression;
  }

  #defined(name: string): string {
    const definition = definitionOf(this.#grammar, name);
    if (this.#open.has(name)) {
      const reason = `${name}, which leads back to itself`;
      throw isTerminalName(name) ? new TextGrammarError(reason) : new NoExpressionError(reason);
    }
    this.#open.add(name);
    try {
      const expression = this.#expression(definition, isTerminalName(name));
      this.#known.set(name, expression);
      return expression;
    } catch (error) {
      if (error instanceof NoExpressionError) this.#known.set(name, error);
      throw error;
    } finally {
      this.#open.delete(name);
    }
  }
}
