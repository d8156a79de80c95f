import { readFileSync } from 'node:fs';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The embedded checkpoint's chat_template.jinja. */
export const chatTemplate = read('checkpoints/pocket-dictionary/chat_template.jinja');

/** The embedded checkpoint's own tokenizer. */
export const pocketTokenizer = createTokenizer(
  JSON.parse(read('checkpoints/pocket-dictionary/tokenizer.json')),
  'tokenizer.json',
);

/** Prompts with the ids that transformers gives them. */
export const reference: readonly { readonly text: string; readonly ids: readonly number[] }[] = JSON.parse(
  read('reference/pocket-dictionary.json'),
);
