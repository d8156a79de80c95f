/**
 * OpenAI's messages outside a request: from a file, say.
 */

import type { HarmonyMessage } from '@switchyard/models';
import { badRequest } from '../errors/openai-error.ts';
import { explain } from '../errors/validation-message.ts';
import { chatRequest, toHarmonyMessages } from './chat.ts';

/** The same messages as harmony's. @throws OpenAiError 400 that names the first that is wrong */
export function readOpenAiMessages(messages: readonly unknown[]): HarmonyMessage[] {
  const parsed = chatRequest.shape.messages.safeParse(messages);
  if (parsed.success) return toHarmonyMessages(parsed.data);
  const [issue] = parsed.error.issues;
  if (issue === undefined) throw badRequest('messages', 'The messages are not valid');
  const { field, message } = explain(issue, ['messages']);
  throw badRequest(field, `${field} · ${message}`);
}
