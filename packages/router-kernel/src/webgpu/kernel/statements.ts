/** WGSL statements as lines. */

/** Statements, and the variables in which they leave a sorted list of keys, the best first. */
export interface SortedList {
  readonly code: readonly string[];
  readonly list: readonly string[];
}

/** `stem0`, `stem1`, ... */
export function names(stem: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${stem}${i}`);
}

/** A compound statement such as a loop, from its head and its body. */
export function block(head: string, body: readonly string[]): string[] {
  return [`${head} {`, ...body.map((line) => `  ${line}`), '}'];
}
