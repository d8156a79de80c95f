import assert from 'node:assert/strict';

/** What happened, what was found, what to do: the form of every message that this package throws. */
export function assertMessageForm(message: string): void {
  const parts = message.split(' · ');
  assert.equal(parts.length, 3, message);
  assert.match(parts[1] ?? '', /^found \S/u, message);
  for (const part of parts) assert.match(part, /^\S.*[^.:;\s]$/su, message);
}
