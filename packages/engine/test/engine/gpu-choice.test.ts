import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { BackendUnavailableError, NoGpuError } from '@switchyard/gpu';
import { Engine } from '../../src/engine.ts';
import { LoadError } from '../../src/errors.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../../src/options.ts';
import { HIP_ENTRY } from '../../src/runners/hip/hip-entry.ts';
import { WorkerClient } from '../../src/worker/client.ts';

/** A logger, and the levels and messages that it got. */
function recorded(): { logger: typeof SILENT_LOGGER; lines: [string, string][] } {
  const lines: [string, string][] = [];
  const at =
    (level: string) =>
    (message: string): void =>
      void lines.push([level, message]);
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines };
}

describe('a load that names no runner', () => {
  afterEach(() => mock.restoreAll());

  /** The runners that were passed over by a load of the embedded model, with the codes. */
  async function passedOver(logger = SILENT_LOGGER): Promise<readonly (readonly [string, string | null])[]> {
    await using engine = await Engine.load(undefined, { runner: 'auto', logger });
    assert.ok(!engine.model.runner.startsWith('hip'));
    return engine.model.passedOver.filter(({ runner }) => runner === 'hip').map(({ runner, code }) => [runner, code]);
  }

  it('loads no GPU library where no GPU can be, and says nothing of it', async () => {
    const error = new BackendUnavailableError('hip', 'There is no GPU · found none · add one');
    mock.method(HIP_ENTRY, 'assertPresent', () => {
      throw error;
    });
    const asked = mock.method(HIP_ENTRY, 'deviceMemory');
    const { logger, lines } = recorded();
    assert.deepEqual(await passedOver(logger), [['hip', 'BACKEND_UNAVAILABLE']]);
    assert.equal(asked.mock.callCount(), 0);
    assert.deepEqual(
      lines.filter(([, message]) => message === 'runner passed over').map(([level]) => level),
      ['debug'],
    );
  });

  it('goes on to the CPU where the GPU has no room for the model, and tells why', async () => {
    mock.method(HIP_ENTRY, 'assertPresent', () => {});
    mock.method(HIP_ENTRY, 'deviceMemory', async () => ({ availableBytes: 2 ** 20, totalBytes: 2 ** 30 }));
    const { logger, lines } = recorded();
    assert.deepEqual(await passedOver(logger), [['hip', 'INSUFFICIENT_MEMORY']]);
    assert.ok(lines.some(([level, message]) => level === 'info' && message === 'runner passed over'));
  });

  it('goes on to the CPU where the driver shows no GPU', async () => {
    mock.method(HIP_ENTRY, 'assertPresent', () => {});
    mock.method(HIP_ENTRY, 'deviceMemory', async () => {
      throw new NoGpuError('hip', 'No GPU could be opened · found none · install a driver');
    });
    assert.deepEqual(await passedOver(), [['hip', 'NO_GPU']]);
  });

  it('computes as many prompt tokens in a step as the runner does best, where nobody says how many', async () => {
    const taken: number[] = [];
    mock.method(WorkerClient, 'start', async ({ data }: Parameters<typeof WorkerClient.start>[0]) => {
      taken.push(data.limits.prefillChunk);
      throw new LoadError('That is enough · found what is asked · stop here', 'TEST');
    });
    mock.method(HIP_ENTRY, 'deviceMemory', async () => ({ availableBytes: 2 ** 36, totalBytes: 2 ** 36 }));
    await assert.rejects(Engine.load(undefined, { runner: 'hip' }));
    await assert.rejects(Engine.load(undefined, { runner: 'hip', prefillChunk: 77 }));
    await assert.rejects(Engine.load(undefined, { runner: 'onnxruntime' }));
    assert.deepEqual(taken, [HIP_ENTRY.prefillChunk, 77, DEFAULT_ENGINE_OPTIONS.prefillChunk]);
  });

  it('asks no GPU where another router is wanted than its own', async () => {
    const looked = mock.method(HIP_ENTRY, 'assertPresent', () => {});
    await using engine = await Engine.load(undefined, { runner: 'auto', router: 'cpu' });
    assert.deepEqual(engine.model.passedOver, []);
    assert.equal(looked.mock.callCount(), 0);
  });
});
