/**
 * From a stream of events to a whole answer.
 */

import type { HarmonyToolCall } from '@switchyard/models';
import { IncompleteStreamError } from '../errors.ts';
import type { GenerateEvent, GenerateResult, SampledTokenLogprob } from '../events.ts';

/** Reads the events to the end and puts the answer together. Throws what the iterator throws, and IncompleteStreamError. */
export async function collect(events: AsyncIterable<GenerateEvent>): Promise<GenerateResult> {
  let analysis = '';
  let final = '';
  const toolCalls: HarmonyToolCall[] = [];
  const logprobs: SampledTokenLogprob[] = [];
  for await (const event of events) {
    if (event.type === 'analysis') analysis += event.text;
    else if (event.type === 'content') {
      final += event.text;
      logprobs.push(...(event.logprobs ?? []));
    } else if (event.type === 'tool-call-end') toolCalls.push(event.call);
    else if (event.type === 'done') {
      const { type: _type, ...rest } = event;
      return { ...rest, analysis, final, toolCalls, ...(logprobs.length > 0 ? { logprobs } : {}) };
    }
  }
  throw new IncompleteStreamError();
}
