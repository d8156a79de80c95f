/** `switchyard inspect`: what a checkpoint is and what loading it would take, from its JSON files and headers alone. */

import { type BackendReport, probeBackends } from '@switchyard/router-kernel';
import { describeBytes } from '../describe-bytes.ts';
import type { MemoryReport, PrecisionReport } from '../memory/memory-report.ts';
import { resolveEngineOptions } from '../options.ts';
import { routerWithoutGpu } from '../runners/runner-choice.ts';
import type { RouterChoice } from '../runners/runner-module.ts';
import { type InspectedModel, withInspectedModel } from './inspected-model.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { engineOptions } from './request-options.ts';
import { describeFit, runnerFits } from './runner-fits.ts';
import { runnerToLoad, type RunnerToLoad } from './runner-to-load.ts';
import { listTensors } from './tensor-list.ts';
import type { Terminal } from './terminal.ts';

type Row = readonly [name: string, value: string];

/** Characters for the value of one precision. */
const COLUMN_WIDTH = 16;

/** The router that a load would start. */
function routerOf(choice: RouterChoice, devices: readonly BackendReport[]): BackendReport | undefined {
  const asked = choice === 'auto' ? process.env['SWITCHYARD_ROUTER'] : choice;
  const find = (name: string | undefined): BackendReport | undefined => devices.find(({ backend }) => backend === name);
  if (asked !== undefined) return find(asked);
  const hip = find('hip');
  return hip?.device === null ? find('cpu') : hip;
}

const deviceText = ({ device, reason }: BackendReport): string => device ?? `none: ${reason ?? ''}`;

function allowanceRow({ process, reserveBytes, limitBytes }: MemoryReport): Row {
  const limit = limitBytes === null ? 'unknown: no limit is kept' : describeBytes(limitBytes);
  const of =
    process === null
      ? ''
      : ` (free for this process: ${describeBytes(process.availableBytes)} of ${describeBytes(process.totalBytes)}`;
  const reserve = reserveBytes === 0 ? '' : `, less ${describeBytes(reserveBytes)}`;
  return ['memory', `the model may take ${limit}${of === '' ? '' : `${of}${reserve})`}`];
}

/** What each precision takes, side by side. */
function memoryRows(report: MemoryReport): Row[] {
  const { precisions } = report;
  const row = (name: string, cell: (of: PrecisionReport) => string): Row => [
    name,
    precisions
      .map((of) => cell(of).padEnd(COLUMN_WIDTH))
      .join('')
      .trimEnd(),
  ];
  const kinds = precisions[0]?.weights.map(({ kind }) => kind) ?? [];
  const held = kinds.filter((kind) => precisions.some(({ weights }) => bytesOf(weights, kind) > 0));
  return [
    allowanceRow(report),
    row('expert precision', ({ precision }) => precision),
    ...held.map((kind) => row(`weights: ${kind}`, ({ weights }) => describeBytes(bytesOf(weights, kind)))),
    row('weights in memory', ({ weightBytes }) => describeBytes(weightBytes)),
    row('while loading', ({ loadingBytes }) => `+ ${describeBytes(loadingBytes)}`),
    row('workspace', ({ workspaceBytes }) => describeBytes(workspaceBytes)),
    row('takes at least', ({ requiredBytes }) => describeBytes(requiredBytes)),
    row('fits', ({ fits }) => (fits ? 'fits' : 'does not fit')),
    row('KV cache', ({ kv }) => (kv === null ? '-' : describeBytes(kv.budgetBytes))),
    row('KV a token', ({ kvBytesPerToken }) => `${kvBytesPerToken} bytes`),
    row('longest sequence', ({ kv }) => (kv === null ? '-' : `${kv.longestSequence} tokens`)),
    row('of 1024 tokens', ({ kv }) => (kv === null ? '-' : `${kv.sequencesOf1024} sequences`)),
  ];
}

const bytesOf = (weights: PrecisionReport['weights'], kind: string): number =>
  weights.find((weight) => weight.kind === kind)?.bytes ?? 0;

/** What has to be known of a runner before its numbers. */
function runnerText({ memory, check }: RunnerToLoad): string {
  const notes = {
    passed: ', whose answers were checked',
    unchecked: ', if the check of its answers passes',
    failed: '',
  };
  return `${memory.runner}${check === null ? '' : notes[check]}`;
}

/** The words are what a person types first; the variable is for all commands. */
function modelOf(values: OptionValues): string | undefined {
  const option = values.text('model');
  if (values.words !== undefined && option !== undefined && option !== process.env['SWITCHYARD_MODEL']) {
    throw new UsageError('More than one model · found words and --model · give one of them');
  }
  return values.words ?? option;
}

export async function inspectCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  await withInspectedModel(modelOf(values), (model) => inspect(model, values, terminal));
}

async function inspect(model: InspectedModel, values: OptionValues, terminal: Terminal): Promise<void> {
  const options = resolveEngineOptions(engineOptions(values));
  const { config, path, layout, tensorBytes, downloadBytes } = model;
  const tensors = listTensors(model.weights);
  const toLoad = await runnerToLoad(config, { ...options, kvCacheBytes: undefined });
  const { memory, passedOver, check } = toLoad;
  const devices = await probeBackends();
  const isTrusted = passedOver.every(({ code }) => code !== 'DEVICE_CHECK_FAILED');
  const router = routerOf(isTrusted ? options.router : routerWithoutGpu(options.router), devices);
  const { runner } = memory;
  const gpus = devices.flatMap((backend) => backend.devices.map(({ id }) => id));
  const fits = await runnerFits(config, gpus, { ...options, kvCacheBytes: undefined }, options.memoryLimitBytes);
  if (values.flag('json')) {
    const chosen = { backend: router?.backend ?? null, device: router?.device ?? null };
    terminal.output.write(
      `${JSON.stringify({ path, layout, config, tensorBytes, downloadBytes, tensors, runner, check, passedOver, router: chosen, devices, memory, fits })}\n`,
    );
    return;
  }
  const sliding = config.layerTypes.filter((type) => type === 'sliding').length;
  const rows: Row[] = [
    ['checkpoint', `${path} (${layout})`],
    ...(downloadBytes === 0 ? [] : [['download', `${describeBytes(downloadBytes)}: switchyard pull ${path}`] as const]),
    ['layers', `${config.layers} (${sliding} sliding, ${config.layers - sliding} full)`],
    ['hidden size', String(config.hiddenSize)],
    ['experts', `${config.experts}, ${config.expertsPerToken} a token, ${config.expertFormat}`],
    ['attention', `${config.attentionHeads} query and ${config.keyValueHeads} key/value heads of ${config.headDim}`],
    ['window', String(config.slidingWindow)],
    ['vocabulary', String(config.vocabularySize)],
    ['context', String(config.contextLength)],
    ['tensors', `${tensors.length}, ${describeBytes(tensorBytes)}`],
    ['runner', runnerText(toLoad)],
    ...passedOver.map((other) => [`not ${other.runner}`, other.reason] as const),
    ['router', router === undefined ? 'none' : `${router.backend} (${deviceText(router)})`],
    ...memoryRows(memory),
    ...fits.map((fit) => [`with ${fit.runner}`, describeFit(fit)] as const),
    ...devices.map((device) => [`device ${device.backend}`, deviceText(device)] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) terminal.output.write(`${name.padEnd(width)}  ${value}\n`);
  terminal.output.write('\n');
  for (const { name, dtype, shape } of tensors)
    terminal.output.write(`${dtype.padEnd(5)} [${shape.join(', ')}]  ${name}\n`);
}
