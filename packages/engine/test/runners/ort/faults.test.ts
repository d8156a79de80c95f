import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileNotReadableError, embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';

describe('ONNX Runtime runner: faults', () => {
  it('reports a checkpoint that is cut off while in use, and leaves the sequence as it was', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'switchyard-checkpoint-'));
    try {
      await cp(embeddedCheckpointPath(), folder, { recursive: true });
      const snapshot = await openSnapshot(folder);
      const runner = await createOrtRunner({ snapshot, router: 'cpu' });
      const sequence = runner.createSequence();
      await runner.forward([{ sequence, tokens: Int32Array.of(1, 2, 3) }]);
      const shards = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
      assert.ok(shards.length > 0);
      for (const shard of shards) {
        await truncate(join(folder, shard), 4096);
      }
      await assert.rejects(runner.forward([{ sequence, tokens: Int32Array.of(4000) }]), FileNotReadableError);
      assert.equal(runner.length(sequence), 3);
      await assert.rejects(createOrtRunner({ snapshot, router: 'cpu' }), FileNotReadableError);
      await runner.dispose();
      snapshot.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
