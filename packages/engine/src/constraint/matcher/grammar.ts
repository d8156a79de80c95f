/**
 * How the values of a schema are written, byte by byte: places in a value, and what a byte does at each. A value inside
 * of another is a call: its place is followed until it ends, and then the outer one goes on.
 *
 * Whitespace is bounded, so that no model can write it for ever: between the parts of arrays and objects stands nothing,
 * one space, or a line break and its indentation.
 */

import { type Automaton, EVERYTHING, isNothing, literals, union } from '../language/automaton.ts';
import type { Formula } from '../schema/formula.ts';
import {
  mayClose,
  nextExtras,
  nextNamed,
  OBJECT_START,
  type ObjectForm,
  type ObjectState,
  objectForms,
} from '../schema/object-form.ts';
import { countItem, type SchemaLanguage } from '../schema/schema-language.ts';
import type { ArrayShape } from '../schema/shape.ts';
import { AutomatonCharacters, type Characters } from './characters.ts';
import { CLOSED, type Lexeme, NumberLexeme, REFUSED, StringLexeme } from './lexeme.ts';
import type { ArrayState, Mark, Move, Place, Stay } from './place.ts';
import { WIDE_INTEGERS, WIDE_NUMBERS } from './wide-numbers.ts';

/** Spaces and tabs behind a line break. */
const MOST_INDENTATION = 32;

const DEAD: Move = { stays: [], calls: [], ends: 'no' };
const END: Move = { stays: [], calls: [], ends: 'with' };
const ENDED: Move = { stays: [], calls: [], ends: 'before' };

const byteOf = (character: string): number => character.charCodeAt(0);
const QUOTE = byteOf('"');
const COMMA = byteOf(',');
const COLON = byteOf(':');
const OPEN_OBJECT = byteOf('{');
const CLOSE_OBJECT = byteOf('}');
const OPEN_ARRAY = byteOf('[');
const CLOSE_ARRAY = byteOf(']');

/** How the values of a formula begin. */
interface Forms {
  readonly words: readonly string[];
  readonly number: Lexeme | null;
  readonly string: Lexeme | null;
  readonly arrays: readonly ArrayShape[];
  readonly objects: readonly ObjectForm[];
}

/** Of a byte inside of a lexeme: there is no such place. */
export const NO_PLACE = -1;
/** Of a byte inside of a lexeme: `move` has to tell. */
const NOT_INSIDE = -2;

/** A place in a string, a key or a number. */
export type TextPlace = Place & { readonly kind: 'lexeme' | 'key' };

/** String lexemes are the same for every schema that has the same automaton. */
const stringLexemes = new WeakMap<Automaton, StringLexeme>();

function stringLexeme(automaton: Automaton): StringLexeme {
  let lexeme = stringLexemes.get(automaton);
  if (lexeme === undefined) {
    lexeme = new StringLexeme(new AutomatonCharacters(automaton));
    stringLexemes.set(automaton, lexeme);
  }
  return lexeme;
}

function nextGap(gap: number, byte: number): number {
  if (gap === 0) return byte === byteOf(' ') ? 1 : byte === byteOf('\n') ? 2 : -1;
  const indents = byte === byteOf(' ') || byte === byteOf('\t');
  return gap >= 2 && gap < 2 + MOST_INDENTATION && indents ? gap + 1 : -1;
}

/** The places of one schema. */
export class Grammar {
  readonly language: SchemaLanguage;
  readonly #text: Lexeme | null;
  readonly #characters: { readonly size: number } | null;
  /** Where the whole value begins. */
  readonly root: number;
  readonly #places: Place[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #moves: (Move | undefined)[][] = [];
  readonly #forms = new Map<number, Forms>();
  readonly #ids = new Map<object, number>();
  readonly #keys = new Map<string, Lexeme>();
  /** Places that differ in the state of their lexeme alone, by that state. */
  readonly #families = new Map<string, number[]>();
  /** For every place in a lexeme, its family. */
  readonly #familyOf: (number[] | undefined)[] = [];

  /** @param text What the strings are whose schema says nothing but that they are strings; null for any. */
  constructor(language: SchemaLanguage, text: (Characters & { readonly size: number }) | null = null) {
    this.language = language;
    this.#characters = text;
    this.#text = text === null ? null : new StringLexeme(text);
    this.root = this.#place({ kind: 'start', formula: language.root });
  }

  /** Places so far, and what takes as much memory: they are found while bodies are followed. */
  get size(): number {
    return this.#places.length + (this.#characters?.size ?? 0);
  }

  place(number: number): Place {
    const place = this.#places[number];
    if (place === undefined) throw new RangeError(`no place ${number}`);
    return place;
  }

  move(number: number, byte: number): Move {
    const row = (this.#moves[number] ??= []);
    return (row[byte] ??= this.#find(this.place(number), byte));
  }

  /** The place after a byte that stays inside of a string, a number or a key: most bytes do. NO_PLACE or NOT_INSIDE otherwise. */
  inside(number: number, byte: number): number {
    const place = this.place(number);
    if (place.kind !== 'lexeme' && place.kind !== 'key') return NOT_INSIDE;
    const { lexeme } = place;
    const next = lexeme.next(place.state, byte);
    if (next === REFUSED) return lexeme.accepts(place.state) ? NOT_INSIDE : NO_PLACE;
    if (next === CLOSED || (place.kind === 'key' && place.names !== null && lexeme.canRunOut(next))) return NOT_INSIDE;
    return this.#familyOf[number]?.[next] ?? this.#inFamily(place, next);
  }

  /** The place of another state of a place's lexeme. */
  textPlace(place: TextPlace, state: number): number {
    return this.#inFamily(place, state);
  }

  /** Where a value of the formula begins. */
  start(formula: Formula): number {
    return this.#place({ kind: 'start', formula });
  }

  /** Whether what may follow depends on the keys or items so far. */
  usesData(number: number): boolean {
    const place = this.place(number);
    if ('array' in place) return place.array.unique !== null;
    return 'form' in place && place.form.extras.length > 0;
  }

  /** Whether a value may end at the place although no byte says so: numbers. */
  mayEnd(number: number): boolean {
    const place = this.place(number);
    return place.kind === 'lexeme' && place.lexeme.accepts(place.state);
  }

  #find(place: Place, byte: number): Move {
    switch (place.kind) {
      case 'start':
        return this.#begin(place.formula, byte);
      case 'word': {
        if (byte !== place.word.charCodeAt(place.at)) return DEAD;
        return place.at + 1 === place.word.length ? END : this.#stay({ ...place, at: place.at + 1 });
      }
      case 'lexeme': {
        const { lexeme, state } = place;
        const next = lexeme.next(state, byte);
        if (next === CLOSED) return END;
        if (next !== REFUSED) return this.#stay({ ...place, state: next });
        return lexeme.accepts(state) ? ENDED : DEAD;
      }
      case 'key': {
        const mark: Mark = place.names === null ? 'none' : 'key';
        const next = place.lexeme.next(place.state, byte);
        if (next === REFUSED) return DEAD;
        if (next !== CLOSED) return this.#stay({ ...place, state: next }, mark);
        const { form, so, value } = place;
        return this.#stay({ kind: 'colon', form, so, value }, place.names === null ? 'none' : 'key-end');
      }
      case 'colon':
        return byte === COLON ? this.#stay({ ...place, kind: 'value', gap: 0 }) : DEAD;
      case 'open':
        return this.#property(place, byte);
      case 'value': {
        const gap = nextGap(place.gap, byte);
        if (gap >= 0) return this.#stay({ ...place, gap });
        const back = this.#place({ kind: 'property-end', form: place.form, so: place.so, gap: 0 });
        return { stays: [], calls: [{ formula: place.value, back, unique: false }], ends: 'no' };
      }
      case 'property-end':
        return this.#afterProperty(place, byte);
      case 'item':
        return this.#item(place, byte);
      case 'item-end':
        return this.#afterItem(place, byte);
      default:
        return place satisfies never;
    }
  }

  #begin(formula: Formula, byte: number): Move {
    const forms = this.#formsOf(formula);
    if (byte === OPEN_OBJECT) {
      const stays = forms.objects.map((form) =>
        this.#staying({ kind: 'open', form, so: OBJECT_START, gap: 0, first: true }),
      );
      return { stays, calls: [], ends: 'no' };
    }
    if (byte === OPEN_ARRAY) {
      const stays = forms.arrays.map((array) => {
        const so = { length: 0, counted: array.contained.map(() => 0) };
        return this.#staying({ kind: 'item', array, so, gap: 0, first: true });
      });
      return { stays, calls: [], ends: 'no' };
    }
    if (byte === QUOTE) {
      const { string } = forms;
      return string === null ? DEAD : this.#stay({ kind: 'lexeme', lexeme: string, state: string.start });
    }
    const word = forms.words.find((one) => one.charCodeAt(0) === byte);
    if (word !== undefined) return this.#stay({ kind: 'word', word, at: 1 });
    const { number } = forms;
    const state = number?.next(number.start, byte) ?? REFUSED;
    return number === null || state < 0 ? DEAD : this.#stay({ kind: 'lexeme', lexeme: number, state });
  }

  #property(place: Place & { readonly kind: 'open' }, byte: number): Move {
    const { form, so, first } = place;
    const closes = first && mayClose(form, so);
    const named = nextNamed(form, so);
    const extras = nextExtras(form, so);
    const gap = nextGap(place.gap, byte);
    if (gap >= 0) return closes || named.length + extras.length > 0 ? this.#stay({ ...place, gap }) : DEAD;
    if (byte === CLOSE_OBJECT && closes) return END;
    if (byte !== QUOTE) return DEAD;
    const stays = named.flatMap(({ at, after }) => {
      const property = form.named[at];
      if (property === undefined) return [];
      const lexeme = this.#keyLexeme(property.name);
      const key = {
        kind: 'key',
        form,
        so: after,
        value: property.formula,
        lexeme,
        state: lexeme.start,
        names: null,
      } as const;
      return [this.#staying(key)];
    });
    for (const { at, after } of extras) {
      const extra = form.extras[at];
      if (extra === undefined) continue;
      const { names, formula: value } = extra;
      const lexeme = stringLexeme(names);
      const key = { kind: 'key', form, so: after, value, lexeme, state: lexeme.start, names } as const;
      stays.push(this.#staying(key, 'key-start'));
    }
    return { stays, calls: [], ends: 'no' };
  }

  #afterProperty(place: Place & { readonly kind: 'property-end' }, byte: number): Move {
    const { form, so } = place;
    if (byte === COMMA && place.gap === 0) {
      if (nextNamed(form, so).length + nextExtras(form, so).length === 0) return DEAD;
      return this.#stay({ kind: 'open', form, so, gap: 0, first: false });
    }
    if (!mayClose(form, so)) return DEAD;
    if (byte === CLOSE_OBJECT) return END;
    const gap = nextGap(place.gap, byte);
    return gap < 0 ? DEAD : this.#stay({ ...place, gap });
  }

  #item(place: Place & { readonly kind: 'item' }, byte: number): Move {
    const { array, so, first } = place;
    const closes = first && this.#mayCloseArray(array, so);
    const ways = this.#ways(array, so);
    const gap = nextGap(place.gap, byte);
    if (gap >= 0) return closes || ways.length > 0 ? this.#stay({ ...place, gap }) : DEAD;
    if (byte === CLOSE_ARRAY) return closes ? END : DEAD;
    const calls = ways.map(({ formula, after }) => ({
      formula,
      back: this.#place({ kind: 'item-end', array, so: after, gap: 0 }),
      unique: array.unique !== null,
    }));
    return { stays: [], calls, ends: 'no' };
  }

  #afterItem(place: Place & { readonly kind: 'item-end' }, byte: number): Move {
    const { array, so } = place;
    if (byte === COMMA && place.gap === 0) {
      if (this.#ways(array, so).length === 0) return DEAD;
      return this.#stay(
        { kind: 'item', array, so, gap: 0, first: false },
        array.unique === null ? 'none' : 'item-next',
      );
    }
    if (!this.#mayCloseArray(array, so)) return DEAD;
    if (byte === CLOSE_ARRAY) return END;
    const gap = nextGap(place.gap, byte);
    return gap < 0 ? DEAD : this.#stay({ ...place, gap });
  }

  #mayCloseArray({ min, contained }: ArrayShape, { length, counted }: ArrayState): boolean {
    return length >= min && contained.every((one, at) => (counted[at] ?? 0) >= one.min);
  }

  /** The items that may come next, with the array's state after each. */
  #ways(array: ArrayShape, so: ArrayState): { readonly formula: Formula; readonly after: ArrayState }[] {
    if (so.length >= array.max) return [];
    const written = (formula: Formula): boolean => this.language.isProductive(formula);
    return this.language.items(array, so.length).flatMap(({ formula, counted }) => {
      if (!written(formula)) return [];
      const after = countItem(array, so.length, so.counted, counted);
      const tooMany = array.contained.some((one, at) => (after.counted[at] ?? 0) > one.max);
      return !tooMany && this.language.canFill(array, after.length, after.counted, written) ? [{ formula, after }] : [];
    });
  }

  #formsOf(formula: Formula): Forms {
    let forms = this.#forms.get(formula.id);
    if (forms === undefined) {
      const { language } = this;
      const shape = language.shape(formula);
      const written = (one: Formula): boolean => language.isProductive(one);
      forms = {
        words: [...(shape.null ? ['null'] : []), ...(shape.true ? ['true'] : []), ...(shape.false ? ['false'] : [])],
        number: language.shapes.numbers.isEmpty(shape.numbers) ? null : this.#numberLexeme(formula),
        string: this.#contentLexeme(shape.strings),
        arrays: shape.arrays.filter((array) =>
          language.canFill(
            array,
            0,
            array.contained.map(() => 0),
            written,
          ),
        ),
        objects: shape.objects.flatMap((object) => objectForms(object, language, written)),
      };
      this.#forms.set(formula.id, forms);
    }
    return forms;
  }

  #contentLexeme(strings: Automaton): Lexeme | null {
    if (isNothing(strings)) return null;
    return strings === EVERYTHING && this.#text !== null ? this.#text : stringLexeme(strings);
  }

  #numberLexeme(formula: Formula): Lexeme {
    const { shapes, budget } = this.language;
    const set = shapes.numbers;
    const { numbers } = this.language.shape(formula);
    const breadth = set.breadth(numbers);
    if (breadth === 'all') return WIDE_NUMBERS;
    if (breadth === 'integers') return WIDE_INTEGERS;
    return new NumberLexeme(union(numbers.texts, literals([...numbers.others], budget), budget));
  }

  #keyLexeme(name: string): Lexeme {
    let lexeme = this.#keys.get(name);
    if (lexeme === undefined) {
      lexeme = new StringLexeme(new AutomatonCharacters(literals([name], this.language.budget)));
      this.#keys.set(name, lexeme);
    }
    return lexeme;
  }

  #stay(place: Place, mark: Mark = 'none'): Move {
    return { stays: [this.#staying(place, mark)], calls: [], ends: 'no' };
  }

  #staying(place: Place, mark: Mark = 'none'): Stay {
    return { place: this.#place(place), mark };
  }

  #place(place: Place): number {
    if (place.kind === 'lexeme' || place.kind === 'key') return this.#inFamily(place, place.state);
    const key = this.#keyOf(place);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#places.push(place) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }

  #inFamily(place: TextPlace, state: number): number {
    const key = this.#keyOf(place);
    let family = this.#families.get(key);
    if (family === undefined) {
      family = [];
      this.#families.set(key, family);
    }
    let number = family[state];
    if (number === undefined) {
      number = this.#places.push({ ...place, state }) - 1;
      family[state] = number;
      this.#familyOf[number] = family;
    }
    return number;
  }

  /** The same for places that are the same; that of a family for all of its places. */
  #keyOf(place: Place): string {
    switch (place.kind) {
      case 'start':
        return `start ${place.formula.id}`;
      case 'word':
        return `word ${place.word} ${place.at}`;
      case 'lexeme':
        return `lexeme ${place.lexeme.id}`;
      case 'key':
        return `key ${this.#objectKey(place)} ${place.value.id} ${place.lexeme.id}`;
      case 'colon':
        return `colon ${this.#objectKey(place)} ${place.value.id}`;
      case 'value':
        return `value ${this.#objectKey(place)} ${place.value.id} ${place.gap}`;
      case 'open':
        return `open ${this.#objectKey(place)} ${place.gap} ${place.first}`;
      case 'property-end':
        return `property-end ${this.#objectKey(place)} ${place.gap}`;
      case 'item':
        return `item ${this.#arrayKey(place)} ${place.gap} ${place.first}`;
      case 'item-end':
        return `item-end ${this.#arrayKey(place)} ${place.gap}`;
      default:
        return place satisfies never;
    }
  }

  #objectKey({ form, so }: { readonly form: ObjectForm; readonly so: ObjectState }): string {
    return `${this.#id(form)} ${so.next} ${so.count} ${so.extras} ${so.needs}`;
  }

  #arrayKey({ array, so }: { readonly array: ArrayShape; readonly so: ArrayState }): string {
    return `${this.#id(array)} ${so.length} ${so.counted.join()}`;
  }

  #id(object: object): number {
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(object, id);
    }
    return id;
  }
}
