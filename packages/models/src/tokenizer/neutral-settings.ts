/** Settings of a tokenizer.json that tools write and that change no token. */

import { isJsonObject, type JsonObject } from '../files/json-text.ts';
import { O200K_PATTERN } from './split-pattern.ts';

/**
 * Whether a normaliser leaves every text as it is. Absent ones do, and those that a tool has put together of nothing.
 *
 * @see https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/normalizers for the fields and their defaults.
 */
export function isNeutralNormalizer(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return stepsOf(value, 'normalizers')?.every(isNeutralStep) ?? false;
}

function isNeutralStep(step: JsonObject): boolean {
  switch (step['type']) {
    case 'Strip':
      return step['strip_left'] === false && step['strip_right'] === false;
    case 'Prepend':
      return step['prepend'] === '';
    case 'Replace': {
      const text = isJsonObject(step['pattern']) ? step['pattern']['String'] : undefined;
      return typeof text === 'string' && text !== '' && text === step['content'];
    }
    default:
      return false;
  }
}

/**
 * The steps that a sequence is made of, in their order, those of the sequences in it in their place; of anything else, that
 * alone. Null where one of them is no object.
 *
 * @param list the field that holds a sequence's steps.
 */
export function stepsOf(value: unknown, list: 'normalizers' | 'pretokenizers'): JsonObject[] | null {
  const steps: JsonObject[] = [];
  // A stack of our own: a file may nest deeper than calls can.
  const open: unknown[] = [value];
  while (open.length > 0) {
    const step = open.pop();
    if (!isJsonObject(step)) return null;
    if (step['type'] !== 'Sequence') {
      steps.push(step);
      continue;
    }
    const inner = step[list];
    if (!Array.isArray(inner)) return null;
    for (let index = inner.length - 1; index >= 0; index--) open.push(inner[index]);
  }
  return steps;
}

/**
 * Whether a Split makes a piece of each match. "Isolated" does, whether the pattern or what is between its matches counts
 * as the delimiter. "Removed" with `invert` keeps the matches and drops what is between: nothing, for GPT-OSS's pattern,
 * which leaves no character out.
 */
export function isolatesMatches({ behavior, invert }: JsonObject, pattern: string): boolean {
  if (behavior === 'Isolated') return true;
  return behavior === 'Removed' && invert === true && pattern === O200K_PATTERN;
}
