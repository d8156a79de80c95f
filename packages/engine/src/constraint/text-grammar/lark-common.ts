/**
 * The terminals of Lark's `common` module as regular expressions. Where Lark's own take as little as they can, these say
 * what that comes to.
 *
 * @see https://github.com/lark-parser/lark/blob/master/lark/grammars/common.lark
 */

const INT = '[0-9]+';
const SIGN = '[+-]?';
const DECIMAL = String.raw`(?:[0-9]+\.(?:[0-9]+)?|\.[0-9]+)`;
const EXPONENT = `[eE]${SIGN}${INT}`;
const FLOAT = `(?:${INT}${EXPONENT}|${DECIMAL}(?:${EXPONENT})?)`;
const NUMBER = `(?:${FLOAT}|${INT})`;

/** By name. */
export const COMMON_TERMINALS: ReadonlyMap<string, string> = new Map([
  ['DIGIT', '[0-9]'],
  ['HEXDIGIT', '[0-9a-fA-F]'],
  ['INT', INT],
  ['SIGNED_INT', SIGN + INT],
  ['DECIMAL', DECIMAL],
  ['FLOAT', FLOAT],
  ['SIGNED_FLOAT', SIGN + FLOAT],
  ['NUMBER', NUMBER],
  ['SIGNED_NUMBER', SIGN + NUMBER],
  ['ESCAPED_STRING', String.raw`"(?:[^"\\\n]|\\[^\n])*"`],
  ['LCASE_LETTER', '[a-z]'],
  ['UCASE_LETTER', '[A-Z]'],
  ['LETTER', '[A-Za-z]'],
  ['WORD', '[A-Za-z]+'],
  ['CNAME', '[A-Za-z_][0-9A-Za-z_]*'],
  ['WS_INLINE', String.raw`[ \t]+`],
  ['WS', String.raw`[ \t\f\r\n]+`],
  ['CR', String.raw`\r`],
  ['LF', String.raw`\n`],
  ['NEWLINE', String.raw`(?:\r?\n)+`],
  ['SH_COMMENT', String.raw`#[^\n]*`],
  ['CPP_COMMENT', String.raw`\/\/[^\n]*`],
  ['C_COMMENT', String.raw`\/\*(?:[^*]|\*+[^*\/])*\*+\/`],
  ['SQL_COMMENT', String.raw`--[^\n]*`],
]);
