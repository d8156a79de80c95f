/**
 * Prints, as JSON, what `Engine.load` of the embedded checkpoint takes: megabytes of resident memory above Node with
 * ONNX Runtime loaded, and milliseconds. A process of its own, on the built package, so that nothing else is counted.
 */

import { Engine } from '@switchyard/engine';

// The engine loads ONNX Runtime in its worker only; here it is part of what the memory is counted above.
await import('onnxruntime-node');

const before = process.memoryUsage.rss();
const started = performance.now();
const engine = await Engine.load();
const milliseconds = performance.now() - started;
const megabytes = (process.memoryUsage.rss() - before) / 1e6;
await engine.dispose();
process.stdout.write(`${JSON.stringify({ megabytes, milliseconds })}\n`);
