/**
 * Pauses while a device works. A timer tells whole milliseconds, late by a part of one or more; a thread pool takes a tenth of
 * a millisecond of processor time to tell anything. A thread that sleeps itself wakes within some hundredths.
 */

/** The longest time that the thread sleeps at once, in milliseconds: its event loop stands still meanwhile. */
const LONGEST_NAP_MS = 2;
const SHORTEST_NAP_MS = 0.1;

/** What nobody wakes. */
const SLEEP = new Int32Array(new SharedArrayBuffer(4));

/**
 * Pauses for about so many milliseconds: less where they are many, so that what is left can be slept. What waits for a turn
 * of the event loop gets one, and what comes of that another: who was just told that work is done hands over the next first.
 */
export async function pause(milliseconds: number): Promise<void> {
  if (milliseconds > LONGEST_NAP_MS) {
    await new Promise((resolve) => {
      setTimeout(resolve, Math.floor(milliseconds - 1));
    });
    return;
  }
  await nextTurn();
  await nextTurn();
  Atomics.wait(SLEEP, 0, 0, Math.max(SHORTEST_NAP_MS, milliseconds));
}

/** The next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
