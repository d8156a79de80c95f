/**
 * How numbers are written where a schema asks for nothing but a number or an integer: exponents and more digits than a
 * double has are let through, what would be infinite is not.
 */

import { stringsWith } from '../language/regular-expression.ts';
import { NumberLexeme } from './lexeme.ts';

const free = { spend: (): void => undefined };

/** All of the schema's numbers. */
export const WIDE_NUMBERS = new NumberLexeme(
  stringsWith('^-?(?:0|[1-9][0-9]{0,19})(?:\\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?$', free),
);
/** All of the schema's integers. */
export const WIDE_INTEGERS = new NumberLexeme(stringsWith('^-?(?:0|[1-9][0-9]{0,19})$', free));
