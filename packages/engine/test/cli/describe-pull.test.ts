import assert from 'node:assert/strict';
import { describePull } from '../../src/cli/pull-command.ts';

describe('Progress of a download', () => {
  const progress = {
    phase: 'downloading',
    what: 'model.safetensors',
    doneBytes: 3.8e9,
    totalBytes: 13.8e9,
    downloadedBytes: 2e9,
  } as const;

  it('is told in bytes, speed and time left; what was there before does not count as speed', () => {
    assert.equal(describePull(progress, 20), 'downloading  3.8 GB of 13.8 GB · 100 MB/s · 100 s left');
    assert.equal(describePull(progress, 200), 'downloading  3.8 GB of 13.8 GB · 10 MB/s · 17 min left');
    assert.equal(describePull({ ...progress, downloadedBytes: 0 }, 0), 'downloading  3.8 GB of 13.8 GB');
  });

  it('says whom it asks, and why it waits', () => {
    assert.equal(describePull({ ...progress, phase: 'asking', what: 'https://hub' }, 0), 'asking https://hub');
    assert.equal(
      describePull({ ...progress, phase: 'waiting', what: 'status 503' }, 1),
      'downloading  3.8 GB of 13.8 GB · waiting: status 503',
    );
  });
});
