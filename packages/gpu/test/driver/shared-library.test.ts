import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A library of glibc that Node.js does not load. */
const LIBRARY = 'libanl.so.1';

describe('a shared library', () => {
  it('stays loaded when nobody holds it any more', function () {
    const usesGlibc = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined)
      ?.header;
    if (process.platform !== 'linux' || usesGlibc?.glibcVersionRuntime === undefined) this.skip();
    const script = fileURLToPath(new URL('./shared-library-process.ts', import.meta.url));
    const args = ['--expose-gc', script, LIBRARY];
    assert.deepEqual(JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })), [false, true, true]);
  });
});
