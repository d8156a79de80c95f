import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MOST_BYTES = 25_000_000;

describe('the package as npm packs it', function () {
  this.timeout(120_000);

  it('holds the kernels and their code objects, in less than 25 MB', () => {
    const output = execFileSync('npm', ['pack', '--dry-run', '--json'], {
      cwd: fileURLToPath(new URL('../', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      shell: process.platform === 'win32',
    });
    const [packed] = JSON.parse(output) as { size: number; files: { path: string }[] }[];
    assert.ok(packed !== undefined);
    const paths = new Set(packed.files.map(({ path }) => path));
    for (const name of ['prebuilt/manifest.json', 'prebuilt/gfx942.objects.br', 'dispatch_plan.hip']) {
      assert.ok(paths.has(`kernels/${name}`), name);
    }
    assert.ok(packed.size > 100_000 && packed.size < MOST_BYTES, `${packed.size} bytes`);
  });
});
