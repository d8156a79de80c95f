/**
 * Message content of both APIs: a text, or parts of text under the names that either uses.
 *
 * @module
 */
import { z } from 'zod';
import { listOf } from './first-fault.ts';

const textPart = z.object({
  type: z.enum(['text', 'input_text', 'output_text'], 'only text parts are supported'),
  text: z.string(),
});

export const content = z.union([z.string(), listOf(textPart)]);

/** Text parts as one text. */
export function plainText(value: z.output<typeof content>): string {
  return typeof value === 'string' ? value : value.map((part) => part.text).join('');
}
