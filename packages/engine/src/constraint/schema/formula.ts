/**
 * What a value may have to be: subschemas that hold or do not hold, joined by and and or. Equal formulas are the same
 * object, so that a schema that refers to itself has finitely many of them.
 */

/** A subschema where it stands. */
export interface SchemaNode {
  readonly id: number;
  readonly schema: unknown;
  /** The URI that its references are resolved against. */
  readonly base: string;
  /** A JSON pointer from the root, for messages. */
  readonly pointer: string;
}

export type Formula =
  | { readonly id: number; readonly kind: 'true' | 'false' }
  | { readonly id: number; readonly kind: 'literal'; readonly node: SchemaNode; readonly positive: boolean }
  | { readonly id: number; readonly kind: 'and' | 'or'; readonly parts: readonly Formula[] };

export const TRUE: Formula = { id: 0, kind: 'true' };
export const FALSE: Formula = { id: 1, kind: 'false' };

export class Formulas {
  readonly #known = new Map<string, Formula>();
  #nextId = 2;

  literal(node: SchemaNode, positive = true): Formula {
    if (typeof node.schema === 'boolean') return node.schema === positive ? TRUE : FALSE;
    return this.#intern(`${positive ? '' : '!'}${node.id}`, (id) => ({ id, kind: 'literal', node, positive }));
  }

  and(formulas: readonly Formula[]): Formula {
    return this.#join('and', formulas, TRUE, FALSE);
  }

  or(formulas: readonly Formula[]): Formula {
    return this.#join('or', formulas, FALSE, TRUE);
  }

  not(formula: Formula): Formula {
    switch (formula.kind) {
      case 'true':
        return FALSE;
      case 'false':
        return TRUE;
      case 'literal':
        return this.literal(formula.node, !formula.positive);
      case 'and':
        return this.or(formula.parts.map((part) => this.not(part)));
      case 'or':
        return this.and(formula.parts.map((part) => this.not(part)));
      default:
        return formula satisfies never;
    }
  }

  #join(kind: 'and' | 'or', formulas: readonly Formula[], neutral: Formula, decisive: Formula): Formula {
    const parts = new Map<number, Formula>();
    for (const formula of formulas) {
      for (const part of formula.kind === kind ? formula.parts : [formula])
        if (part !== neutral) parts.set(part.id, part);
    }
    if (parts.has(decisive.id)) return decisive;
    const sorted = [...parts.values()].sort((a, b) => a.id - b.id);
    const opposed = sorted.some((part) => part.kind === 'literal' && !part.positive && parts.has(this.not(part).id));
    if (opposed) return decisive;
    const [only] = sorted;
    if (only === undefined) return neutral;
    if (sorted.length === 1) return only;
    return this.#intern(`${kind} ${sorted.map(({ id }) => id).join()}`, (id) => ({ id, kind, parts: sorted }));
  }

  #intern(key: string, create: (id: number) => Formula): Formula {
    let formula = this.#known.get(key);
    if (formula === undefined) {
      formula = create(this.#nextId++);
      this.#known.set(key, formula);
    }
    return formula;
  }
}
