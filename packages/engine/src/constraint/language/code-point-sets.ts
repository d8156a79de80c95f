/**
 * The character classes of regular expressions as ranges of code points.
 */

import type { Range } from './automaton.ts';
import { CODE_POINTS } from './automaton.ts';

/** In order, not overlapping, without surrogates. */
export type CodePointSet = readonly Range[];

export const ALL_CODE_POINTS: CodePointSet = CODE_POINTS;

export function setOf(ranges: readonly Range[]): CodePointSet {
  const sorted = [...ranges].sort((a, b) => a.from - b.from);
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last.to + 1) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return merged.flatMap((range) => intersectRange(range, CODE_POINTS));
}

function intersectRange(range: Range, others: CodePointSet): Range[] {
  return others.flatMap(({ from, to }) => {
    const low = Math.max(from, range.from);
    const high = Math.min(to, range.to);
    return low <= high ? [{ from: low, to: high }] : [];
  });
}

export function complementSet(set: CodePointSet): CodePointSet {
  const result: Range[] = [];
  let next = 0;
  for (const { from, to } of set) {
    if (from > next) result.push({ from: next, to: from - 1 });
    next = to + 1;
  }
  if (next <= 0x10ffff) result.push({ from: next, to: 0x10ffff });
  return setOf(result);
}

const one = (character: string): Range => {
  const codePoint = character.codePointAt(0) ?? 0;
  return { from: codePoint, to: codePoint };
};
const span = (from: string, to: string): Range => ({ from: one(from).from, to: one(to).to });

/** ECMAScript's `\d`. */
export const DIGITS = setOf([span('0', '9')]);
/** ECMAScript's `\w`, without the flags `i` and `u` together. */
export const WORD = setOf([span('a', 'z'), span('A', 'Z'), span('0', '9'), one('_')]);
/** ECMAScript's LineTerminator. */
export const LINE_ENDS = setOf([one('\n'), one('\r'), span('\u2028', '\u2029')]);
/** ECMAScript's `\s`: WhiteSpace and LineTerminator. */
export const SPACES = setOf([
  span('\t', '\r'),
  one(' '),
  one('\u00a0'),
  one('\u1680'),
  span('\u2000', '\u200a'),
  span('\u2028', '\u2029'),
  one('\u202f'),
  one('\u205f'),
  one('\u3000'),
  one('\ufeff'),
]);

let everyCharacter: string | null = null;
const properties = new Map<string, CodePointSet>();

/**
 * The characters of a Unicode property, as the JavaScript engine knows it.
 *
 * @param escape Such as `\p{L}` or `\p{Script=Greek}`.
 */
export function propertySet(escape: string): CodePointSet {
  const known = properties.get(escape);
  if (known !== undefined) return known;
  everyCharacter ??= allCharacters();
  const ranges: Range[] = [];
  for (const { 0: run } of everyCharacter.matchAll(new RegExp(`${escape}+`, 'gu'))) {
    // A run may lead across the surrogates' gap, which setOf leaves out.
    ranges.push({ from: run.codePointAt(0) ?? 0, to: lastCodePoint(run) });
  }
  const set = setOf(ranges);
  properties.set(escape, set);
  return set;
}

function allCharacters(): string {
  const units = new Uint16Array(CODE_POINTS.reduce((sum, { from, to }) => sum + (to - from + 1) * 2, 0));
  let length = 0;
  for (const { from, to } of CODE_POINTS) {
    for (let codePoint = from; codePoint <= to; codePoint += 1) {
      if (codePoint < 0x10000) {
        units[length++] = codePoint;
      } else {
        units[length++] = 0xd800 + ((codePoint - 0x10000) >> 10);
        units[length++] = 0xdc00 + (codePoint & 0x3ff);
      }
    }
  }
  return new TextDecoder('utf-16le').decode(units.subarray(0, length));
}

function lastCodePoint(text: string): number {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xdc00 && last <= 0xdfff ? (text.codePointAt(text.length - 2) ?? last) : last;
}
