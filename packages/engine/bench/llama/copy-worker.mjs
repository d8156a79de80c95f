// A thread of copy-bandwidth.ts: copies its memory when it is told to.
import { parentPort, workerData } from 'node:worker_threads';

const { bytes, copies } = workerData;
const from = Buffer.alloc(bytes, 1);
const to = Buffer.alloc(bytes, 2);
parentPort.on('message', () => {
  for (let i = 0; i < copies; i++) from.copy(to);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort.postMessage('done');
});
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
parentPort.postMessage('ready');
