/**
 * How long to wait before a hub is asked again.
 */

const MS_PER_SECOND = 1000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/**
 * What a response says of when to ask again, in milliseconds from now; null where it says nothing. Reads `Retry-After`
 * (RFC 9110, 10.2.3: seconds or a date), else the `t` of `RateLimit` (draft-ietf-httpapi-ratelimit-headers), in which the
 * hub tells the seconds until its window is over.
 */
export function askedDelayMs(headers: Pick<Headers, 'get'>, now = Date.now()): number | null {
  const retryAfter = headers.get('retry-after')?.trim() ?? '';
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter) * MS_PER_SECOND;
  const date = Date.parse(retryAfter);
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  const seconds = /(?:^|;)\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return seconds === undefined ? null : Number(seconds) * MS_PER_SECOND;
}

/**
 * The wait after a failure of which nobody said how long it lasts: twice as long each time, up to 30 s, less a random
 * part of it, so that many clients do not come back at once.
 *
 * @param failures how many in a row, 1 and up
 */
export function backoffMs(failures: number, random: () => number = Math.random): number {
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
  return delay * (1 - random() / 2);
}
