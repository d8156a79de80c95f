import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasProgram } from './emulated-node.ts';

const KERNELS = fileURLToPath(new URL('../../../kernels/native/', import.meta.url));
const PROGRAM = fileURLToPath(new URL('./late-thread.c', import.meta.url));

describe('threads that share small jobs', () => {
  it('do so no more for a while when one of them came late, and then again', function () {
    this.timeout(20_000);
    if (process.platform !== 'linux' || !hasProgram('clang-22')) {
      console.log('    skipped: clang-22 on Linux is needed');
      this.skip();
    }
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-native-pool-'));
    try {
      const program = join(folder, 'late-thread');
      const sources = [join(KERNELS, 'pool.c'), join(KERNELS, 'system.c'), PROGRAM];
      execFileSync('clang-22', ['-std=gnu17', '-O1', '-I', KERNELS, ...sources, '-o', program]);
      assert.equal(execFileSync(program, { encoding: 'utf8' }), '1 0\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
