/**
 * The byte-level alphabet of GPT-2: tokenizer.json writes each byte of a token as one printable character. Bytes that
 * are printable in Latin-1 stand for themselves, the others for U+0100 onwards in ascending order.
 */

const NO_BYTE = 256;

const characterOfByte: readonly string[] = makeAlphabet();

/** By character code; NO_BYTE for characters that are not of the alphabet, the last of which is U+0143. */
const byteOfCharacter = new Uint16Array(0x144).fill(NO_BYTE);
for (const [byte, character] of characterOfByte.entries()) byteOfCharacter[character.charCodeAt(0)] = byte;

function makeAlphabet(): string[] {
  let shifted = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : shifted++);
  });
}

/** The bytes that a text in the byte-level alphabet stands for, or null where a character is not of the alphabet. */
export function byteLevelToBytes(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfCharacter[text.charCodeAt(i)] ?? NO_BYTE;
    if (byte === NO_BYTE) return null;
    bytes[i] = byte;
  }
  return bytes;
}

/** Bytes written in the byte-level alphabet. */
export function bytesToByteLevel(bytes: Iterable<number>): string {
  let text = '';
  for (const byte of bytes) text += characterOfByte[byte] ?? '';
  return text;
}
