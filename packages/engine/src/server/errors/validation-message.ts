/**
 * From a schema's complaints to the one field and sentence that a client can act on.
 */

import type { z } from 'zod';

type Issue = z.core.$ZodIssue;

/** `['messages', 2, 'content']` as `messages[2].content`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}

/** What a complaint would rather have. */
function expectedOf(issue: Issue): string[] {
  if (issue.code === 'invalid_type') return [issue.expected];
  if (issue.code === 'invalid_value') return issue.values.map((value) => JSON.stringify(value));
  if (issue.code === 'invalid_union') return issue.errors.flat().flatMap(expectedOf);
  return [];
}

const isOtherType = (issue: Issue): boolean => issue.code === 'invalid_value' && issue.path.at(-1) === 'type';
const isOtherKind = (issue: Issue): boolean => ['invalid_type', 'invalid_value'].includes(issue.code);
/** How many items of a list were taken before the complaint. */
const reach = (issues: readonly Issue[]): number => issues[0]?.path.find((part) => typeof part === 'number') ?? 0;
const depth = (issues: readonly Issue[]): number => Math.max(0, ...issues.map(({ path }) => path.length));

/** A union complains for each of its options: the option that the value is most like, and goes along with longest, says best what is wrong with it. */
function explainUnion(issue: Issue & { code: 'invalid_union' }, path: readonly PropertyKey[]): Explanation {
  const options = issue.errors.filter((complaints) => complaints.length > 0);
  const inside = options.filter((complaints) => depth(complaints) > 0);
  if (inside.length > 1 && inside.every((complaints) => complaints.some(isOtherType))) {
    const types = inside.flatMap((complaints) => complaints.filter(isOtherType).flatMap(expectedOf));
    return { field: fieldPath([...path, 'type']), message: `give one of ${[...new Set(types)].join(', ')}` };
  }
  const sameType = inside.filter((complaints) => !complaints.some(isOtherType));
  const [likeliest] = sameType.toSorted((a, b) => depth(b) - depth(a) || reach(b) - reach(a));
  const sameKind = options.flat().find((inner) => inner.path.length === 0 && !isOtherKind(inner));
  const best = likeliest?.toSorted((a, b) => b.path.length - a.path.length)[0] ?? sameKind ?? inside[0]?.[0];
  if (best !== undefined) return explain(best, path);
  const expected = [...new Set(expectedOf(issue))].join(', ');
  return { field: fieldPath(path), message: expected === '' ? issue.message : `give one of ${expected}` };
}

/** What is wrong, and where: `field` is empty for the value as a whole. */
export interface Explanation {
  readonly field: string;
  readonly message: string;
}

/** Explains a complaint about the value at `prefix`. */
export function explain(issue: Issue, prefix: readonly PropertyKey[] = []): Explanation {
  const path = [...prefix, ...issue.path];
  return issue.code === 'invalid_union'
    ? explainUnion(issue, path)
    : { field: fieldPath(path), message: issue.message };
}
