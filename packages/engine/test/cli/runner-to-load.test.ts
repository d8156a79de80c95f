import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { NoGpuError } from '@switchyard/gpu';
import { publishedConfig } from '@switchyard/models/testing';
import { type RunnerToLoadOptions, runnerToLoad } from '../../src/cli/runner-to-load.ts';
import { resolveEngineOptions } from '../../src/options.ts';
import { HIP_ENTRY } from '../../src/runners/hip/hip-entry.ts';
import { ORT_ENTRY } from '../../src/runners/ort/ort-entry.ts';
import type { RunnerName } from '../../src/runners/runner-choice.ts';

const GIB = 2 ** 30;
const config = publishedConfig('gpt-oss-20b');

/** What inspect asks for. */
function asking(runners: readonly RunnerName[]): RunnerToLoadOptions {
  return { ...resolveEngineOptions({}), runners, kvCacheBytes: undefined };
}

/** Gives runners memory of their own. */
function withMemory(bytes: { readonly hip: number | Error; readonly onnxruntime: number }): void {
  mock.method(HIP_ENTRY, 'assertPresent', () => {});
  mock.method(HIP_ENTRY, 'deviceMemory', async () => {
    if (bytes.hip instanceof Error) throw bytes.hip;
    return { availableBytes: bytes.hip, totalBytes: bytes.hip };
  });
  mock.method(ORT_ENTRY, 'deviceMemory', async () => ({
    availableBytes: bytes.onnxruntime,
    totalBytes: bytes.onnxruntime,
  }));
}

describe('the runner that inspect tells of', () => {
  afterEach(() => mock.restoreAll());

  it('is on the CPU where the GPU is not there or too small, with the reason', async () => {
    withMemory({ hip: new NoGpuError('hip', 'No GPU · none · install one'), onnxruntime: 64 * GIB });
    const absent = await runnerToLoad(config, asking(['hip', 'onnxruntime']));
    assert.equal(absent.runner, 'onnxruntime');
    assert.equal(absent.check, null);
    assert.deepEqual(absent.passedOver, [{ runner: 'hip', code: 'NO_GPU', reason: 'No GPU · none · install one' }]);
    mock.restoreAll();
    withMemory({ hip: 8 * GIB, onnxruntime: 64 * GIB });
    const small = await runnerToLoad(config, asking(['hip', 'onnxruntime']));
    assert.equal(small.runner, 'onnxruntime');
    assert.match(small.passedOver[0]?.reason ?? '', /takes 1\d\.\d GB where it may take \d\.\d GB/);
  });

  it('is on the CPU, which then does not fit, where neither has room', async () => {
    withMemory({ hip: 4 * GIB, onnxruntime: 4 * GIB });
    const none = await runnerToLoad(config, asking(['hip', 'onnxruntime']));
    assert.equal(none.runner, 'onnxruntime');
    assert.equal(none.memory.precisions[0]?.fits, false);
  });

  it('is the one that is named, without a check; where that is not there, inspect says so', async () => {
    withMemory({ hip: 80 * GIB, onnxruntime: 64 * GIB });
    const named = await runnerToLoad(config, asking(['hip']));
    assert.deepEqual([named.runner, named.check, named.passedOver], ['hip', null, []]);
    mock.restoreAll();
    const error = new NoGpuError('hip', 'No GPU · none · install one');
    withMemory({ hip: error, onnxruntime: 64 * GIB });
    await assert.rejects(runnerToLoad(config, asking(['hip'])), error);
  });
});
