/**
 * Why a schema is refused.
 */

/** A keyword that cannot be enforced, or is no schema's. Becomes the request's InvalidRequestError. */
export class SchemaRefusal extends Error {
  override readonly name = 'SchemaRefusal';
  readonly keyword: string;
  /** A JSON pointer to the keyword, from the schema's root. */
  readonly pointer: string;

  /** @param reason Completes "keyword at pointer: …". */
  constructor(keyword: string, pointer: string, reason: string) {
    super(`"${keyword}" at #${pointer}, ${reason}`);
    this.keyword = keyword;
    this.pointer = pointer;
  }
}

/** One step further in a JSON pointer. */
export function pointerTo(pointer: string, part: string | number): string {
  return `${pointer}/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
