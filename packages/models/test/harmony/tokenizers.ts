/** The vocabularies that what holds for any tokens is checked with. */

import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';
import { pocketTokenizer } from './pocket-dictionary.ts';

export const TOKENIZERS: readonly (readonly [name: string, tokenizer: Tokenizer])[] = [
  ['a small vocabulary', new ByteTokenizer()],
  ["the embedded checkpoint's vocabulary", pocketTokenizer],
];
