import assert from 'node:assert/strict';
import { ThreadGate } from '../../src/worker/thread-gate.ts';

describe('the gate of a worker thread', () => {
  it('is not idle before the thread has begun, nor while it is at work', () => {
    const owner = new ThreadGate();
    const thread = new ThreadGate(owner.shared);
    assert.equal(owner.idle, false, 'it loads its modules, and may not be ended');
    assert.equal(thread.enter(), true);
    assert.equal(owner.idle, false);
    thread.leave();
    assert.equal(owner.idle, true);
  });

  it('lets nothing begin once it is to stop', () => {
    const owner = new ThreadGate();
    const thread = new ThreadGate(owner.shared);
    owner.stop();
    assert.equal(owner.idle, false);
    assert.equal(thread.enter(), false);
    assert.equal(owner.idle, true, 'it has begun, and has nothing to do');
  });
});
