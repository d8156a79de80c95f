/** `switchyard score`. */

import { readScoreInputs } from './input-files.ts';
import { loadEngine } from './loading-line.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { engineOptions } from './request-options.ts';
import type { Terminal } from './terminal.ts';

export async function scoreCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const file = values.text('file');
  if (file === undefined) throw new UsageError('--file is missing · found no texts to score · give --file FILE.jsonl');
  const inputs = await readScoreInputs(file);
  // The whole file waits in the queue.
  const options = { ...engineOptions(values), maxQueue: inputs.length };
  await using engine = await loadEngine(values.text('model'), options, terminal);
  for (const { nll, tokens } of await engine.score(inputs)) {
    terminal.output.write(
      values.flag('json') ? `${JSON.stringify({ nll, tokens })}\n` : `${nll.toFixed(4)}\t${tokens}\n`,
    );
  }
}
