/**
 * Runs where onnxruntime-node cannot be resolved: imports the package and tries to load a model into the runner that the
 * first argument names. Prints, as JSON, the error.
 */

import { Engine } from '@switchyard/engine';

try {
  const engine = await Engine.load(undefined, { runner: process.argv[2] });
  await engine.dispose();
  process.stdout.write(JSON.stringify({ code: null }));
} catch ({ name, code, message }) {
  process.stdout.write(JSON.stringify({ name, code, message }));
}
