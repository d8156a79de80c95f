/** `switchyard serve`. */

import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { embeddedCheckpointPath } from '@switchyard/models';
import { Engine } from '../engine.ts';
import type { EngineOptions } from '../options.ts';
import type { LoadEngine } from '../server/engine-holder.ts';
import type { ServerOptions } from '../server/options.ts';
import { startServer } from '../server/start-server.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import { commandLogger } from './command-logger.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { engineOptions } from './request-options.ts';
import type { Terminal } from './terminal.ts';

const MEBIBYTE = 2 ** 20;
const MS_PER_SECOND = 1000;
const LOOPBACK = /^(?:127\.|localhost$|::1$)/;

/** Options that are set: absent ones take the defaults of engine and server. */
function present<T extends object>(options: { [Name in keyof T]: T[Name] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function engineLimits(values: OptionValues): EngineOptions {
  const kvCacheMiB = values.number('kv-cache-mib');
  return present<EngineOptions>({
    maxSequences: values.number('max-sequences'),
    maxQueue: values.number('max-queue'),
    prefillChunk: values.number('prefill-chunk'),
    kvCacheBytes: kvCacheMiB === undefined ? undefined : Math.floor(kvCacheMiB * MEBIBYTE),
    runnerModule: values.text('runner-module'),
  });
}

/** A text option that may be left out but not blank: a blank key, say, would lock everyone out. */
function filledText(values: OptionValues, name: string): string | undefined {
  const value = values.text(name);
  if (value?.trim() === '')
    throw new UsageError(`--${name} is not valid · found a blank text · give one or leave it out`);
  return value;
}

function serverOptions(values: OptionValues): ServerOptions {
  const drainSeconds = values.number('drain-seconds');
  const idleSeconds = values.number('idle-seconds');
  return present<ServerOptions>({
    host: filledText(values, 'host'),
    port: values.number('port'),
    apiKey: filledText(values, 'api-key'),
    modelId: filledText(values, 'model-id'),
    corsOrigin: filledText(values, 'cors-origin'),
    drainMs: drainSeconds === undefined ? undefined : drainSeconds * MS_PER_SECOND,
    idleConnectionMs: idleSeconds === undefined ? undefined : idleSeconds * MS_PER_SECOND,
    storedResponses: values.number('stored-responses'),
  });
}

/** What memory the model takes and how much it leaves for requests. */
function memoryPlan({ plan, runner, router, experts, expertsPerToken, layers }: ModelInfo): string {
  const mebibytes = (bytes: number): string => `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
  return [
    `model     ${layers} layers, ${experts} experts, ${expertsPerToken} of them for each token`,
    `runner    ${runner}, router ${router.backend} (${router.device})`,
    `weights   ${mebibytes(plan.weightBytes)}`,
    `KV cache  ${mebibytes(plan.budgetBytes)}, ${plan.kvBytesPerToken} bytes a token, blocks of ${plan.blockTokens} tokens`,
    `room for  ${plan.sequencesOf1024} sequences of ${Math.min(1024, plan.longestSequence)} tokens; the longest has ${plan.longestSequence}`,
    '',
  ].join('\n');
}

/** The folder's name; a model that has a name on a hub keeps it whole, as other servers call it. */
const modelIdOf = (model: string): string => (existsSync(model) ? basename(resolve(model)) : model);

/** Resolves at the first SIGINT or SIGTERM; the second ends the process at once, as it does without a handler. */
function firstSignal(): { readonly arrived: Promise<NodeJS.Signals>; readonly stop: () => void } {
  let receive: (signal: NodeJS.Signals) => void = () => undefined;
  const arrived = new Promise<NodeJS.Signals>((resolve) => {
    let drains = false;
    receive = (signal) => {
      if (drains) {
        // Not process.exit(): that would wait for the step in progress, which may hang.
        process.off(signal, receive);
        process.kill(process.pid, signal);
        return;
      }
      drains = true;
      resolve(signal);
    };
  });
  process.on('SIGINT', receive);
  process.on('SIGTERM', receive);
  return {
    arrived,
    stop: () => {
      process.off('SIGINT', receive);
      process.off('SIGTERM', receive);
    },
  };
}

/** Serves until SIGINT or SIGTERM, then finishes the requests under way. Throws where the model cannot be loaded. */
export async function serveCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const model = values.text('model') ?? embeddedCheckpointPath();
  const logger = commandLogger(values.text('log-level') ?? 'info', terminal);
  const load: LoadEngine = (signal, onProgress) =>
    Engine.load(model, { ...engineOptions(values), ...engineLimits(values), logger, signal, onProgress });
  const options = serverOptions(values);
  const signals = firstSignal();
  const server = await startServer(load, model, { modelId: modelIdOf(model), ...options, logger });
  if (options.apiKey === undefined && !LOOPBACK.test(server.host)) {
    logger.warn('other machines may reach this server, and it asks for no key: see --api-key', { host: server.host });
  }
  try {
    const stopped = await Promise.race([signals.arrived, server.ready]);
    if (typeof stopped !== 'string') {
      terminal.output.write(memoryPlan(stopped.model));
      terminal.output.write(`listening on ${server.url}\n`);
      const signal = await signals.arrived;
      logger.info('draining', { signal });
    }
  } finally {
    await server.close();
    signals.stop();
  }
  logger.info('stopped');
}
