import { TextGrammarError } from './text-grammar-error.ts';

/** Characters of a grammar, and of the expression that comes of it. */
const MOST_CHARACTERS = 32_768;

/** The text itself, where it is not too long. Asked at once where it grows: rules may double it with each of them. */
export function checkLength(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  throw new TextGrammarError(`more than ${MOST_CHARACTERS} characters, its rules put into one another`);
}
