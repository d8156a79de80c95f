/**
 * Places in a value that is being written, and what a byte does at one.
 */

import type { Automaton } from '../language/automaton.ts';
import type { Formula } from '../schema/formula.ts';
import type { ObjectForm, ObjectState } from '../schema/object-form.ts';
import type { ArrayShape } from '../schema/shape.ts';
import type { Lexeme } from './lexeme.ts';

export interface ArrayState {
  readonly length: number;
  readonly counted: readonly number[];
}

/** A place in a value. `gap` tells the whitespace so far: 0 none, 1 a space, 2 and more a line break and what follows. */
export type Place =
  | { readonly kind: 'start'; readonly formula: Formula }
  | { readonly kind: 'word'; readonly word: string; readonly at: number }
  | { readonly kind: 'lexeme'; readonly lexeme: Lexeme; readonly state: number }
  | {
      readonly kind: 'open';
      readonly form: ObjectForm;
      readonly so: ObjectState;
      readonly gap: number;
      readonly first: boolean;
    }
  | {
      readonly kind: 'key';
      readonly form: ObjectForm;
      /** The object's state after the property. */
      readonly so: ObjectState;
      readonly value: Formula;
      readonly lexeme: Lexeme;
      readonly state: number;
      /** The class of names that it is one of; null for a named property. */
      readonly names: Automaton | null;
    }
  | { readonly kind: 'colon'; readonly form: ObjectForm; readonly so: ObjectState; readonly value: Formula }
  | {
      readonly kind: 'value';
      readonly form: ObjectForm;
      readonly so: ObjectState;
      readonly value: Formula;
      readonly gap: number;
    }
  | { readonly kind: 'property-end'; readonly form: ObjectForm; readonly so: ObjectState; readonly gap: number }
  | {
      readonly kind: 'item';
      readonly array: ArrayShape;
      readonly so: ArrayState;
      readonly gap: number;
      readonly first: boolean;
    }
  | { readonly kind: 'item-end'; readonly array: ArrayShape; readonly so: ArrayState; readonly gap: number };

/** What has to be done with what an object or array has had so far. */
export type Mark =
  | 'none'
  /** A key of a class begins behind this byte. */
  | 'key-start'
  /** Inside of such a key: another key than those so far has to be possible. */
  | 'key'
  /** The key has ended: it has to be another than those so far. */
  | 'key-end'
  /** Another item follows: there has to be one that is different. */
  | 'item-next';

export interface Stay {
  readonly place: number;
  readonly mark: Mark;
}

export interface Call {
  readonly formula: Formula;
  /** Where the outer value goes on. */
  readonly back: number;
  /** Whether the value has to be another than those so far. */
  readonly unique: boolean;
}

/** What a byte does at a place. */
export interface Move {
  readonly stays: readonly Stay[];
  /** Values that begin with this byte. */
  readonly calls: readonly Call[];
  /** Whether the value ends with the byte, or has ended before it. */
  readonly ends: 'no' | 'with' | 'before';
}
