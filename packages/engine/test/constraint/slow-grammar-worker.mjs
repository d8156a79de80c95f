// The thread of grammars, but for a schema that it never comes to the end of.
import { parentPort } from 'node:worker_threads';

await import('../../src/constraint/grammar/grammar-worker.ts');
// Heard after the worker's own listener, but before what that has put off.
parentPort.on('message', ({ type, id, call }) => {
  if (type !== 'call' || call.type !== 'compile' || !call.schema?.includes('endless')) return;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort.postMessage({ type: 'begun', id });
  for (;;);
});
