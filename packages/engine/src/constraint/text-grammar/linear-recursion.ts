/**
 * Rules that name themselves at one end only, as lists are often written: `list: item | list "," item`. They say the same
 * as a repetition, which an automaton can follow.
 */

import type { Expansion } from './lark-syntax.ts';

/** One way to write a rule: what it reads beside itself, and whether it names itself at the end that is looked at. */
interface Way {
  readonly rest: Expansion;
  readonly isRecursive: boolean;
}

const EMPTY: Expansion = { kind: 'sequence', parts: [] };

/** The same texts without the rule's own name, where it stands at the left or at the right end only; otherwise as it is. */
export function withoutLinearRecursion(name: string, definition: Expansion): Expansion {
  if (!mentions(definition, name)) return definition;
  for (const end of ['left', 'right'] as const) {
    const ways = waysOf(definition, name, end);
    if (ways === null) continue;
    const base = choiceOf(ways.filter(({ isRecursive }) => !isRecursive));
    // Without any, no text ever ends.
    if (base === null) continue;
    const more = choiceOf(ways.filter(({ isRecursive }) => isRecursive)) ?? EMPTY;
    const repeated: Expansion = { kind: 'repetition', part: more, count: '*' };
    return { kind: 'sequence', parts: end === 'left' ? [base, repeated] : [repeated, base] };
  }
  return definition;
}

function choiceOf(ways: readonly Way[]): Expansion | null {
  return ways.length === 0 ? null : { kind: 'choice', parts: ways.map(({ rest }) => rest) };
}

/** Null where the name stands elsewhere than at that end. */
function waysOf(expansion: Expansion, name: string, end: 'left' | 'right'): readonly Way[] | null {
  if (!mentions(expansion, name)) return [{ rest: expansion, isRecursive: false }];
  switch (expansion.kind) {
    case 'name':
      return [{ rest: EMPTY, isRecursive: true }];
    case 'choice': {
      const ways = expansion.parts.map((part) => waysOf(part, name, end));
      return ways.some((way) => way === null) ? null : ways.flatMap((way) => way ?? []);
    }
    case 'sequence': {
      const at = end === 'left' ? 0 : expansion.parts.length - 1;
      const others = expansion.parts.filter((_, index) => index !== at);
      const outermost = expansion.parts[at];
      if (outermost === undefined || others.some((part) => mentions(part, name))) return null;
      const join = (rest: Expansion): Expansion => ({
        kind: 'sequence',
        parts: end === 'left' ? [rest, ...others] : [...others, rest],
      });
      return waysOf(outermost, name, end)?.map((way) => ({ ...way, rest: join(way.rest) })) ?? null;
    }
    case 'repetition': {
      const ways = expansion.count === '?' ? waysOf(expansion.part, name, end) : null;
      return ways === null ? null : [...ways, { rest: EMPTY, isRecursive: false }];
    }
    case 'expression':
      return null;
    default:
      return expansion satisfies never;
  }
}

function mentions(expansion: Expansion, name: string): boolean {
  switch (expansion.kind) {
    case 'expression':
      return false;
    case 'name':
      return expansion.name === name;
    case 'repetition':
      return mentions(expansion.part, name);
    case 'sequence':
    case 'choice':
      return expansion.parts.some((part) => mentions(part, name));
    default:
      return expansion satisfies never;
  }
}
