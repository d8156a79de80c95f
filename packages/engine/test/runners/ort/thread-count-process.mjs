/**
 * Prints, as JSON, how many threads loading models adds to a process, and the logits of a step of each. Its arguments, one
 * a load: the threads to ask for, or 'default'. 'before' uses onnxruntime-node first, as another part of a program may.
 */

import { readdirSync } from 'node:fs';
import { openSnapshot } from '@switchyard/models';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';
import { GraphBuilder } from '../../../src/runners/ort/graph.ts';
import { GraphSession } from '../../../src/runners/ort/graph-session.ts';

const threadsNow = () => readdirSync('/proc/self/task').length;
const asked = process.argv.slice(2);

if (asked[0] === 'before') {
  asked.shift();
  const graph = new GraphBuilder('other');
  graph.output('result', graph.op('Identity', [graph.input('value', 'float32', [1])]), 'float32', [1]);
  await GraphSession.create(graph, { threads: 1, clock: { compute: 0, experts: 0, router: 0 } });
}

const snapshot = await openSnapshot();
const before = threadsNow();
const lines = [];
const runners = [];
const logits = [];
for (const threads of asked) {
  const runner = await createOrtRunner({
    snapshot,
    router: 'cpu',
    logger: { info: (line) => lines.push(line) },
    ...(threads === 'default' ? {} : { threads: Number(threads) }),
  });
  const sequence = runner.createSequence();
  const [output] = await runner.forward([
    { sequence, tokens: Int32Array.from({ length: 24 }, (_, index) => 40 + index) },
  ]);
  logits.push(Array.from(output.logits));
  runners.push(runner);
}
const added = threadsNow() - before;
for (const runner of runners) await runner.dispose();
process.stdout.write(JSON.stringify({ added, logits, lines }));
