/** `switchyard inspect`. */
import { openSnapshot } from '@switchyard/models';
import { probeBackends } from '@switchyard/router-kernel';
import { Engine } from '../engine.ts';
import type { OptionValues } from './parse-options.ts';
import { engineOptions } from './request-options.ts';
import { listTensors } from './tensor-list.ts';
import type { Terminal } from './terminal.ts';

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export async function inspectCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  using snapshot = await openSnapshot(values.text('model'));
  const tensors = listTensors(snapshot.weights);
  await using engine = await Engine.load(values.text('model'), engineOptions(values));
  const { runner, router, plan } = engine.model;
  const devices = await probeBackends();
  const { config, path, layout, tensorBytes } = snapshot;
  if (values.flag('json')) {
    terminal.output.write(
      `${JSON.stringify({ path, layout, config, tensorBytes, tensors, runner, router, devices, memory: plan })}\n`,
    );
    return;
  }
  const rows: (readonly [string, string])[] = [
    ['checkpoint', `${path} (${layout})`],
    ['layers', `${config.layers} (${config.layerTypes.join(', ')})`],
    ['hidden size', String(config.hiddenSize)],
    ['experts', `${config.experts}, ${config.expertsPerToken} a token, ${config.expertFormat}`],
    ['attention', `${config.attentionHeads} query and ${config.keyValueHeads} key/value heads of ${config.headDim}`],
    ['window', String(config.slidingWindow)],
    ['vocabulary', String(config.vocabularySize)],
    ['context', String(config.contextLength)],
    ['tensors', `${tensors.length}, ${mebibytes(tensorBytes)}`],
    ['runner', runner],
    ['router', `${router.backend} (${router.device})`],
    ['weights in memory', mebibytes(plan.weightBytes)],
    [
      'KV cache',
      `${plan.kvBytesPerToken} bytes a token, budget ${mebibytes(plan.budgetBytes)}, blocks of ${plan.blockTokens} tokens`,
    ],
    ['fits', `${plan.sequencesOf1024} sequences of 1024 tokens, or one of ${plan.longestSequence}`],
    ...devices.map(({ backend, device, reason }) => [`device ${backend}`, device ?? `none: ${reason ?? ''}`] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) terminal.output.write(`${name.padEnd(width)}  ${value}\n`);
  terminal.output.write('\n');
  for (const { name, dtype, shape } of tensors)
    terminal.output.write(`${dtype.padEnd(5)} [${shape.join(', ')}]  ${name}\n`);
}
