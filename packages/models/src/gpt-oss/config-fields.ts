import { InvalidConfigError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../files/json-text.ts';

/** No dimension of a model comes near it; a larger one is a broken file. */
const MAX_SIZE = 2 ** 31 - 1;

/** Reads the fields of one JSON object of a configuration file, each checked. All methods throw InvalidConfigError. */
export class ConfigFields {
  readonly #object: JsonObject;
  readonly #path: string;
  readonly #prefix: string;

  /**
   * @param path the file, for errors.
   * @param prefix goes before the names of fields in errors, such as 'rope_scaling.'.
   */
  constructor(object: JsonObject, path: string, prefix = '') {
    this.#object = object;
    this.#path = path;
    this.#prefix = prefix;
  }

  /** The field as it lies in the file; null counts as absent. */
  raw(name: string): unknown {
    const value = Object.hasOwn(this.#object, name) ? this.#object[name] : undefined;
    return value === null ? undefined : value;
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  fail(name: string, expected: string): never {
    throw new InvalidConfigError(this.#path, this.#prefix + name, this.raw(name), expected);
  }

  /** A whole number from `minimum` (default 1) to `maximum` (default 2^31 - 1). */
  size(name: string, fallback?: number, minimum = 1, maximum = MAX_SIZE): number {
    const value = this.raw(name) ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return value;
    return this.fail(name, `a whole number from ${minimum} to ${maximum}`);
  }

  /** A finite number above 0. */
  positive(name: string, fallback?: number): number {
    const value = this.raw(name) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    return this.fail(name, 'a finite number above 0');
  }

  /** A finite number, 0 or above. */
  notNegative(name: string, fallback?: number): number {
    const value = this.raw(name) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    return this.fail(name, 'a finite number, 0 or above');
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.raw(name) ?? fallback;
    return typeof value === 'boolean' ? value : this.fail(name, 'true or false');
  }

  /**
   * One token id or several; empty where the field is absent. Numbers that no token has are left out: nothing comes of
   * them, and -1 is what some tools write for none.
   */
  tokenIds(name: string, vocabularySize: number): readonly number[] {
    const value = this.raw(name) ?? [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    return ids
      .map((id) => (Number.isInteger(id) ? Number(id) : this.fail(name, 'one or several whole numbers')))
      .filter((id) => id >= 0 && id < vocabularySize);
  }

  /** The object under a field, or null where the field is absent. */
  object(name: string): ConfigFields | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (!isJsonObject(value)) return this.fail(name, 'an object');
    return new ConfigFields(value, this.#path, `${this.#prefix}${name}.`);
  }

  /** Refuses a value other than `only`, or another name for the same, where the field is present. */
  require(name: string, only: string | boolean | number, ...sameAs: readonly string[]): void {
    const value = this.raw(name);
    const isOnly = value === undefined || value === only || (typeof value === 'string' && sameAs.includes(value));
    if (!isOnly) this.fail(name, `${JSON.stringify(only)}, the only one supported`);
  }
}
