import { TextGrammarError } from './text-grammar-error.ts';

/** Characters of a grammar, and of the expression that comes of it. */
const MOST_CHARACTERS = 32_768;

export function isTooLong(text: string): boolean {
  return text.length > MOST_CHARACTERS;
}

/** The text itself, where it is not too long. Asked at once where it grows. */
export function checkLength(text: string): string {
  if (isTooLong(text)) throw new TextGrammarError(`more than ${MOST_CHARACTERS} characters`);
  return text;
}
