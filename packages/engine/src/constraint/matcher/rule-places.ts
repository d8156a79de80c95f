/**
 * The places in a grammar's rules: the states of all rules' automata under one numbering.
 */

import type { Automaton, Edge } from '../language/automaton.ts';
import { CharacterRuns } from './character-runs.ts';
import { calledRule, type RuleNetwork } from '../text-grammar/rule-network.ts';

export interface RuleCall {
  readonly rule: number;
  /** Where the caller goes on. */
  readonly back: number;
}

/** A byte that ends a JSON string, and one that begins an escape. */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class RulePlaces {
  readonly rule: readonly number[];
  readonly accepts: readonly boolean[];
  /** Edges that read a character, their targets being places. */
  readonly characters: Automaton;
  readonly calls: readonly (readonly RuleCall[])[];
  /** Whether nothing can follow but the rule's end. */
  readonly isEnd: readonly boolean[];
  /** Whether the rule may end from here without a character. */
  readonly isNullable: readonly boolean[];
  /** Of characters in the rule itself. */
  readonly runs: CharacterRuns;
  /** By rule: where it begins. */
  readonly starts: readonly number[];
  /** By rule and byte: whether the byte, of a JSON string's content, may come behind a text of the rule. */
  readonly follows: readonly Uint8Array[];

  constructor(rules: RuleNetwork) {
    const starts: number[] = [];
    const rule: number[] = [];
    const accepts: boolean[] = [];
    const edges: Edge[][] = [];
    const calls: RuleCall[][] = [];
    for (const [number, automaton] of rules.entries()) {
      const base = rule.length;
      starts.push(base);
      automaton.accepts.forEach((accepting, state) => {
        rule.push(number);
        accepts.push(accepting);
        const moved = (automaton.edges[state] ?? []).map((edge) => ({ ...edge, target: base + edge.target }));
        edges.push(moved.filter((edge) => calledRule(edge) < 0));
        calls.push(
          moved.flatMap((edge) => (calledRule(edge) < 0 ? [] : [{ rule: calledRule(edge), back: edge.target }])),
        );
      });
    }
    this.rule = rule;
    this.accepts = accepts;
    this.characters = { accepts, edges };
    this.calls = calls;
    this.isEnd = accepts.map((accepting, at) => accepting && edges[at]?.length === 0 && calls[at]?.length === 0);
    this.starts = starts;
    this.isNullable = this.#findNullable();
    this.runs = new CharacterRuns(this.characters);
    this.follows = this.#findFollows(rules.length);
  }

  isNullableRule(rule: number): boolean {
    return this.isNullable[this.starts[rule] ?? 0] ?? false;
  }

  #findNullable(): boolean[] {
    const nullable = [...this.accepts];
    const start = (rule: number): boolean => nullable[this.starts[rule] ?? 0] ?? false;
    untilStable(() => {
      let changed = false;
      for (const [at, list] of this.calls.entries()) {
        if (nullable[at] === true || !list.some(({ rule, back }) => start(rule) && nullable[back] === true)) continue;
        nullable[at] = true;
        changed = true;
      }
      return changed;
    });
    return nullable;
  }

  #findFollows(count: number): Uint8Array[] {
    const firsts = this.characters.edges.map(firstBytes);
    untilStable(() => {
      let changed = false;
      for (const [at, list] of this.calls.entries()) {
        for (const { rule, back } of list) {
          changed = add(firsts[at], firsts[this.starts[rule] ?? 0]) || changed;
          if (this.isNullableRule(rule)) changed = add(firsts[at], firsts[back]) || changed;
        }
      }
      return changed;
    });
    const follows = Array.from({ length: count }, () => new Uint8Array(256));
    const whole = follows[0];
    if (whole !== undefined) whole[QUOTE] = 1;
    untilStable(() => {
      let changed = false;
      for (const [at, list] of this.calls.entries()) {
        for (const { rule, back } of list) {
          changed = add(follows[rule], firsts[back]) || changed;
          if (this.isNullable[back] === true) changed = add(follows[rule], follows[this.rule[at] ?? 0]) || changed;
        }
      }
      return changed;
    });
    return follows;
  }
}

function untilStable(change: () => boolean): void {
  while (change());
}

/** Whether any byte is new to the first. */
function add(to: Uint8Array | undefined, from: Uint8Array | undefined): boolean {
  let changed = false;
  if (to === undefined || from === undefined) return false;
  for (let byte = 0; byte < 256; byte += 1) {
    if (from[byte] === 0 || to[byte] === 1) continue;
    to[byte] = 1;
    changed = true;
  }
  return changed;
}

/** The bytes with which the characters of a place may begin in JSON; some more beyond ASCII. */
function firstBytes(edges: readonly Edge[]): Uint8Array {
  const bytes = new Uint8Array(256);
  // Every character may be an escape.
  if (edges.length > 0) bytes[BACKSLASH] = 1;
  for (const { from, to } of edges) {
    for (let byte = Math.max(from, 0x20); byte <= Math.min(to, 0x7f); byte += 1) if (byte !== QUOTE) bytes[byte] = 1;
    if (to >= 0x80) bytes.fill(1, 0xc2, 0xf5);
  }
  return bytes;
}
