/** Loads a library, lets go of it, and prints whether it is mapped before, then, and after a collection of garbage. */

import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { loadSharedLibrary } from '../../src/driver/shared-library.ts';

const [name = ''] = process.argv.slice(2);
const isMapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(name);

const before = isMapped();
loadSharedLibrary(name);
const loaded = isMapped();
for (let turn = 0; turn < 5; turn++) {
  globalThis.gc?.();
  await nextTurn();
}
console.log(JSON.stringify([before, loaded, isMapped()]));
