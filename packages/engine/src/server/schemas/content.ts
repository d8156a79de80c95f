/**
 * Message content: a text, or parts of text under the names that chat completions and responses use.
 */

import { z } from 'zod';
import { listOf } from './first-fault.ts';

const textPart = z.object({
  type: z.enum(['text', 'input_text', 'output_text'], 'only text parts are supported'),
  text: z.string(),
});

export const content = z.union([z.string(), listOf(textPart)]);

const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });

/** What an assistant said: its refusals, which the model takes for what they are, are text. */
export const assistantContent = z.union([z.string(), listOf(z.union([textPart, refusalPart]))]);

/** Text parts as one text. */
export function plainText(value: z.output<typeof content> | z.output<typeof assistantContent>): string {
  if (typeof value === 'string') return value;
  return value.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('');
}
