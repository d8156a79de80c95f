import { MissingSpecialTokenError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** The ids of harmony's markers in one vocabulary. */
export interface HarmonyTokens {
  /** `<|start|>`: a header begins. */
  readonly start: number;
  /** `<|channel|>`: the channel follows, inside a header. */
  readonly channel: number;
  /** `<|constrain|>`: the content type follows, inside a header. */
  readonly constrain: number;
  /** `<|message|>`: the header is over, the content begins. */
  readonly message: number;
  /** `<|end|>`: a message is over, more may follow. */
  readonly end: number;
  /** `<|call|>`: a tool call is over and waits for its result. */
  readonly call: number;
  /** `<|return|>`: the answer is over. */
  readonly return: number;
  /** `<|endoftext|>`, or null where the vocabulary has none. */
  readonly endOfText: number | null;
  /** The tokens at which generation stops: return, call and end of text. */
  readonly stops: ReadonlySet<number>;
}

/** Looks harmony's markers up. Throws MissingSpecialTokenError if the vocabulary lacks one. */
export function harmonyTokens(tokenizer: Tokenizer): HarmonyTokens {
  const idOf = (text: string): number => {
    const id = tokenizer.specialTokens.get(text);
    if (id === undefined) throw new MissingSpecialTokenError(text);
    return id;
  };
  const call = idOf('<|call|>');
  const returnToken = idOf('<|return|>');
  const endOfText = tokenizer.specialTokens.get('<|endoftext|>') ?? null;
  return {
    start: idOf('<|start|>'),
    channel: idOf('<|channel|>'),
    constrain: idOf('<|constrain|>'),
    message: idOf('<|message|>'),
    end: idOf('<|end|>'),
    call,
    return: returnToken,
    endOfText,
    stops: new Set(endOfText === null ? [returnToken, call] : [returnToken, call, endOfText]),
  };
}
