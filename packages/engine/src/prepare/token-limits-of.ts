/**
 * From a request to the tokens that it allows and bans.
 */

import type { Tokenizer } from '@switchyard/models';
import { describeValue } from '../check-values.ts';
import type { TokenLimits } from '../constraint/token-limits.ts';
import { InvalidRequestError } from '../errors.ts';
import { MOST_BAD_WORDS } from '../ranges.ts';
import type { GenerateRequest } from '../request.ts';
import { checkIds } from './check-request.ts';

/**
 * The limits; null where any token may come.
 *
 * @param constrained Whether a grammar holds the answer already.
 * @throws InvalidRequestError
 */
export function tokenLimitsOf(
  request: GenerateRequest,
  tokenizer: Tokenizer,
  constrained: boolean,
): TokenLimits | null {
  const { allowedTokenIds, badWords } = request;
  if (allowedTokenIds === undefined && badWords === undefined) return null;
  const allowed =
    allowedTokenIds === undefined ? null : [...checkIds('allowedTokenIds', allowedTokenIds, tokenizer.vocabularySize)];
  if (allowed?.length === 0) {
    throw new InvalidRequestError('allowedTokenIds', 'an empty list', 'give at least one token id');
  }
  if (allowed !== null && constrained) {
    const found = 'a response format or tools that the answer is held to beside it';
    throw new InvalidRequestError('allowedTokenIds', found, 'leave one of them out');
  }
  const banned = badWords === undefined ? [] : bannedSequences(badWords, tokenizer);
  return { allowed, banned, startsInHeader: request.messages !== undefined };
}

/** Each word as it stands at the start of a text and behind a space, as in vLLM. */
function bannedSequences(words: readonly string[], tokenizer: Tokenizer): number[][] {
  if (!Array.isArray(words) || words.length > MOST_BAD_WORDS) {
    throw new InvalidRequestError('badWords', describeValue(words), `give at most ${MOST_BAD_WORDS} strings`);
  }
  return words.flatMap((word: unknown, index) => {
    if (typeof word !== 'string' || word.trim() === '') {
      throw new InvalidRequestError(`badWords[${index}]`, describeValue(word), 'give a word');
    }
    return [tokenizer.encode(word.trimStart()), tokenizer.encode(` ${word.trimStart()}`)];
  });
}
