/** Why a grammar of free text cannot be followed, or is none. The message completes "found …". */
export class TextGrammarError extends Error {
  override readonly name = 'TextGrammarError';
}
