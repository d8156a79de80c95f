import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('../../../../scripts/reference/', import.meta.url));

describe('The API reference', function () {
  this.timeout(300_000);
  let out: string;
  before(async () => {
    out = await mkdtemp(join(tmpdir(), 'switchyard-reference-'));
  });
  after(() => rm(out, { recursive: true }));

  it('is made of what every package exports, and leads nowhere that is not there', async () => {
    const manifest = createRequire(join(FOLDER, 'package.json')).resolve('typedoc/package.json');
    const typedoc = join(dirname(manifest), 'bin', 'typedoc');
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [typedoc, '--out', out], { cwd: FOLDER });
    const pages = new Set(await readdir(out, { recursive: true }));
    for (const page of [
      join('classes', 'engine_src.Engine.html'),
      join('functions', 'engine_src_server.startServer.html'),
      join('functions', 'models_src_hub.pullModel.html'),
      join('functions', 'models_src.openSnapshot.html'),
      join('functions', 'router-kernel_src.createRouter.html'),
      join('functions', 'gpu_src.openGpuDriver.html'),
    ]) {
      assert.ok(pages.has(page), page);
    }
    assert.doesNotMatch(stdout + stderr, /Failed to resolve link/);
  });
});
