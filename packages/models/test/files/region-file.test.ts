import assert from 'node:assert/strict';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DisposedError } from '../../src/errors.ts';
import { loadMemoryMap } from '../../src/files/memory-map.ts';
import { RegionFile } from '../../src/files/region-file.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2654435761) >>> 24);

function mappingsOf(path: string): number {
  return readFileSync('/proc/self/maps', 'utf8').split(path).length - 1;
}

async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // A registry's callbacks run in later turns of the event loop.
  for (let turn = 0; turn < 10; turn++) {
    collect();
    await setImmediate();
  }
}

describe('a region file', () => {
  it('gives the same bytes mapped and read, at any offset', async () => {
    await withTemporaryFolder((folder) => {
      const path = join(folder, 'content');
      writeFileSync(path, content);
      const [mapped, read] = [new RegionFile(path), new RegionFile(path, null)];
      for (const [offset, length] of [
        [0, 0],
        [0, 1],
        [4095, 2],
        [4096, 4096],
        [5000, 200_001],
        [299_999, 1],
      ] as const) {
        const expected = Buffer.from(content.subarray(offset, offset + length));
        assert.deepEqual(Buffer.from(mapped.region(offset, length)), expected);
        assert.deepEqual(Buffer.from(read.region(offset, length)), expected);
      }
      mapped.dispose();
      read.dispose();
      assert.throws(() => mapped.region(0, 1), DisposedError);
      assert.throws(() => read.read(0, 1), DisposedError);
    });
  });

  it('reads where the system refuses to map', async () => {
    await withTemporaryFolder((folder) => {
      const path = join(folder, 'content');
      writeFileSync(path, content);
      const file = new RegionFile(path, () => null);
      assert.deepEqual(Buffer.from(file.region(7, 100)), Buffer.from(content.subarray(7, 107)));
      file.dispose();
    });
  });

  it('unmaps a region when its last view is gone, and not before', async function () {
    if (process.platform !== 'linux' || loadMemoryMap() === null) {
      console.log('      skipped: the mappings of a process are counted in /proc/self/maps, which is not here');
      this.skip();
    }
    await withTemporaryFolder(async (folder) => {
      const path = join(realpathSync(folder), 'content');
      writeFileSync(path, content);
      const file = new RegionFile(path);
      const views: Uint8Array[] = [file.region(0, 8192).subarray(5, 9), file.region(100_000, 9)];
      file.dispose();
      await collectGarbage();
      assert.equal(mappingsOf(path), 2);
      assert.deepEqual([...(views[0] ?? [])], [...content.subarray(5, 9)]);
      views.pop();
      await collectGarbage();
      assert.equal(mappingsOf(path), 1);
      views.pop();
      await collectGarbage();
      assert.equal(mappingsOf(path), 0);
    });
  });
});
