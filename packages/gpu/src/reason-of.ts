/** What was thrown, in words: anything can be. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return String(thrown);
  } catch {
    return `a value of type ${typeof thrown}`;
  }
}
