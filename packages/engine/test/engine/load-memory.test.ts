import assert from 'node:assert/strict';
import { measureLoad } from './load-memory.ts';

describe('Engine.load', () => {
  it('takes less than 250 MB of resident memory above Node with ONNX Runtime loaded', async () => {
    const { megabytes } = await measureLoad();
    assert.ok(megabytes > 0 && megabytes < 250, `${megabytes} MB`);
  });
});
