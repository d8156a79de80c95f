/** Why a grammar of free text cannot be followed, or is none. The message completes "found …". */
export class TextGrammarError extends Error {
  override readonly name: string = 'TextGrammarError';
}

/** A grammar that is no regular expression of a size that can be followed. */
export class NoExpressionError extends TextGrammarError {
  override readonly name = 'NoExpressionError';
}
