/** Options with names that nothing reads. A misspelt one would be a default that nobody asked for. */

import type { InvalidArgumentError, InvalidConfigError } from './errors.ts';

/** The error for a wrong option: of a call, or of what a router is made with. */
type Refusal = new (name: string, received: unknown, message: string) => InvalidArgumentError | InvalidConfigError;

/** What may be taken, by name. */
export interface KnownOptions {
  /** What one of them is called in messages, such as 'route option'. */
  readonly kind: string;
  readonly names: ReadonlySet<string>;
  readonly Refusal: Refusal;
}

/** Every name that `Options` has, once: the compiler finds one that is missing here, or that is none. */
export function knownOptions<Options extends object>(
  kind: string,
  Refusal: Refusal,
  names: Readonly<Record<keyof Options, true>>,
): KnownOptions {
  return { kind, Refusal, names: new Set(Object.keys(names)) };
}

/** Refuses what is no object, and the first own name that is not known. */
export function refuseUnknownOptions({ kind, names, Refusal }: KnownOptions, options: object): void {
  if (typeof options !== 'object' || options === null) {
    const found = options === null ? 'null' : typeof options;
    throw new Refusal(
      'options',
      options,
      `Each ${kind} stands in an object · found ${found} · pass an object, or nothing`,
    );
  }
  for (const name in options) {
    if (names.has(name) || !Object.hasOwn(options, name)) continue;
    const known = [...names].join(', ');
    throw new Refusal(
      name,
      Reflect.get(options, name),
      `There is no ${kind} of this name · found "${name}" · use one of ${known}`,
    );
  }
}
