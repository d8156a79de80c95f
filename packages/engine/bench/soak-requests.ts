/** The requests of a soak: of all kinds and lengths, the same for the same seed. */

import { seededRandom } from '../../router-kernel/src/suite/seeded-random.ts';
import type { GenerateRequest } from '../dist/request.js';

const WORDS = 'lighthouse river book harbour ship mountain tower light sea bridge garden horse king window bread'.split(
  ' ',
);
const SCHEMA = {
  type: 'object',
  properties: { noun: { type: 'string', maxLength: 12 }, count: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['noun', 'count'],
  additionalProperties: false,
};

/**
 * Different requests, each with a seed of its own: prompts of 1 to `mostPrompt` tokens, as many short as long ones, and of
 * chats; greedy and drawn; with penalties, log-probabilities, a grammar, end tokens or none.
 *
 * @param mostPrompt tokens of the longest prompt.
 * @param mostAnswer tokens of the longest answer.
 */
export function soakRequests(
  count: number,
  { mostPrompt, mostAnswer, vocabularySize }: Record<'mostPrompt' | 'mostAnswer' | 'vocabularySize', number>,
): readonly GenerateRequest[] {
  const random = seededRandom('requests');
  const below = (most: number): number => Math.floor(random() * most);
  return Array.from({ length: count }, (_, index): GenerateRequest => {
    const common = { seed: index, maxTokens: 1 + below(mostAnswer), temperature: index % 2 === 0 ? 0 : 0.5 + random() };
    const kind = index % 8;
    if (kind < 4) {
      const tokens = Math.max(1, Math.floor(mostPrompt ** random()));
      const promptIds = Array.from({ length: tokens }, () => below(vocabularySize));
      const sampling = kind === 1 ? { topK: 40, topP: 0.95 } : kind === 2 ? { repetitionPenalty: 1.2 } : {};
      return { promptIds, ignoreEndTokens: true, ...common, ...sampling, ...(kind === 3 ? { logprobs: 2 } : {}) };
    }
    const word = WORDS[below(WORDS.length)] ?? '';
    const messages = [{ role: 'user' as const, content: `What is a ${word}?` }];
    const chat = { messages, currentDate: '2026-01-01', ...common };
    return kind === 4 ? { ...chat, responseFormat: { type: 'json-schema', schema: SCHEMA } } : chat;
  });
}
