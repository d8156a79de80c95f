/**
 * Lists and maps that are read up to their first wrong item. Zod's own go on and complain of each: four million wrong
 * items in one body would stop the server for a minute.
 */

import { z } from 'zod';

/** A list of items that follow a schema. */
export function listOf<Item extends z.ZodType>(item: Item) {
  return z.array(z.unknown()).transform((values, context): z.output<Item>[] => {
    const items: z.output<Item>[] = [];
    for (const [index, value] of values.entries()) {
      const parsed = item.safeParse(value);
      if (!parsed.success) return fail(context, parsed.error, index, value);
      items.push(parsed.data);
    }
    return items;
  });
}

/** A map of at most `most` entries with keys and values that follow schemas. */
export function mapOf<Value extends z.ZodType>(key: z.ZodType<string>, value: Value, most: number) {
  // Not z.record(): it looks at every entry before the first is refused.
  return z.custom<object>(isMap, 'expected an object').transform((map, context): Record<string, z.output<Value>> => {
    const { length } = Object.keys(map);
    if (length > most) {
      context.addIssue(`found ${length} entries, give at most ${most}`);
      return z.NEVER;
    }
    const entries: [string, z.output<Value>][] = [];
    for (const [name, content] of Object.entries(map)) {
      const parsedKey = key.safeParse(name);
      if (!parsedKey.success) return fail(context, parsedKey.error, name, content);
      const parsed = value.safeParse(content);
      if (!parsed.success) return fail(context, parsed.error, name, content);
      entries.push([name, parsed.data]);
    }
    return Object.fromEntries(entries);
  });
}

const isMap = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

function fail(context: z.core.ParsePayload, error: z.ZodError, place: PropertyKey, input: unknown): never {
  for (const issue of error.issues) {
    context.issues.push({ ...issue, path: [place, ...issue.path], input } as z.core.$ZodRawIssue);
  }
  return z.NEVER;
}

/** A list that is not empty. */
export const someOf = <Item extends z.ZodType>(item: Item) =>
  listOf(item).refine((items) => items.length > 0, 'give at least one');

/** A list of at most `most` items. */
export const upTo = <Item extends z.ZodType>(most: number, item: Item) =>
  listOf(item).refine((items) => items.length <= most, `give at most ${most}`);
