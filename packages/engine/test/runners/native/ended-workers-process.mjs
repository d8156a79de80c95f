/**
 * Ends a worker whose native runner was not disposed of. Prints whether the library is still mapped: threads of the runner's
 * pool wait in its code, whatever becomes of the worker.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isMainThread, Worker } from 'node:worker_threads';

if (isMainThread) {
  await once(new Worker(new URL(import.meta.url)), 'exit');
  process.stdout.write(
    readFileSync('/proc/self/maps', 'utf8').includes('kernels/native/prebuilt/') ? 'mapped' : 'gone',
  );
} else {
  const { openSnapshot } = await import('@switchyard/models');
  const { createNativeRunner } = await import('../../../src/runners/native/index.ts');
  const snapshot = await openSnapshot();
  const runner = await createNativeRunner({ snapshot, threads: 2, kvCacheBytes: 2 ** 20 });
  await runner.forward([{ sequence: runner.createSequence(), tokens: Int32Array.of(1, 2, 3) }]);
  process.exit();
}
