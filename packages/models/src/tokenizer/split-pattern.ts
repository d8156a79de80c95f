/**
 * The pattern of o200k, which every GPT-OSS has. No text makes it backtrack: JavaScript reads it in time linear in the
 * text. See openai_public.py of https://github.com/openai/tiktoken.
 */
export const O200K_PATTERN = [
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`\p{N}{1,3}`,
  String.raw` ?[^\s\p{L}\p{N}]+[\r\n/]*`,
  String.raw`\s*[\r\n]+`,
  String.raw`\s+(?!\S)`,
  String.raw`\s+`,
].join('|');

/** What `(?i:…)` lets stand for a letter beside its two cases: the long s and the Kelvin sign. */
const OTHER_CASES: Readonly<Record<string, string>> = { s: '\u017f', k: '\u212a' };

/** What JavaScript reads otherwise or not at all: possessive and atomic groups, anchors, class operations, other flags. */
const UNTRANSLATED = /[+*?}]\+|\(\?(?![:=!<]|i:)|\(\?<(?![=!])|\\[AzZbBGhHRXQE]|&&|--|\[[^\]\\]*\[/;

/**
 * A tokenizer's split pattern as JavaScript reads it, or null where it has something that JavaScript has no words for.
 *
 * `\s` is Unicode's white space, which is not JavaScript's: that has U+FEFF in it and U+0085 not.
 *
 * @param pattern in the syntax of the tokenizers library (Oniguruma's, of which GPT-OSS uses what Rust's regex has too).
 */
export function translateSplitPattern(pattern: string): RegExp | null {
  if (UNTRANSLATED.test(pattern)) return null;
  let source = '';
  let anyCase = false;
  for (const [part] of pattern.matchAll(/\\[pP]\{[^}]*\}|\\.|\(\?i:|./gsu)) {
    if (part === '(?i:') {
      if (anyCase) return null;
      anyCase = true;
      source += '(?:';
    } else if (part === String.raw`\s`) source += String.raw`\p{White_Space}`;
    else if (part === String.raw`\S`) source += String.raw`\P{White_Space}`;
    else if (anyCase && /^[a-z]$/i.test(part)) {
      const lower = part.toLowerCase();
      source += `[${lower}${part.toUpperCase()}${OTHER_CASES[lower] ?? ''}]`;
    } else {
      // Groups and classes inside a caseless group would need a parser.
      if (anyCase && /^[([\\]/.test(part)) return null;
      if (part === ')') anyCase = false;
      source += part;
    }
  }
  try {
    return new RegExp(source, 'gu');
  } catch {
    return null;
  }
}

const OTHER = 0;
const LETTER = 1;
const SPACE = 2;
const DIGIT = 3;
const SYMBOL = 4;

/** By character code below 128. */
const KINDS = Uint8Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCodePoint(code);
  if (/[a-z]/i.test(character)) return LETTER;
  if (/\p{White_Space}/u.test(character)) return SPACE;
  return /\d/.test(character) ? DIGIT : SYMBOL;
});

/** Whether the text may have a run of one kind of characters that long. Characters past ASCII count as any kind. */
export function mayHaveRun(text: string, length: number): boolean {
  if (text.length < length) return false;
  let kind = OTHER;
  let run = 0;
  for (let index = 0; index < text.length; index += 1) {
    const next = KINDS[text.charCodeAt(index)] ?? OTHER;
    if (next === OTHER || next === kind) run += 1;
    else {
      kind = next;
      run = 1;
    }
    if (run >= length) return true;
  }
  return false;
}
