/**
 * Plain texts as completions and `/v1/score` take them: one text, the token ids of one, or several of either.
 */

import { z } from 'zod';
import { someOf } from './first-fault.ts';

const ids = someOf(z.number().int().min(0));

export const promptInput = z.union([z.string().min(1), ids, someOf(z.string().min(1)), someOf(ids)]);

/** Each text, or its token ids. */
export function inputsOf(input: z.output<typeof promptInput>): (string | number[])[] {
  if (typeof input === 'string') return [input];
  const one: number[] = [];
  const several: (string | number[])[] = [];
  for (const item of input) {
    if (typeof item === 'number') one.push(item);
    else several.push(item);
  }
  return one.length > 0 ? [one] : several;
}
