import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Artefact {
  readonly path: string;
  readonly bytes: Uint8Array;
}

const script = (name: string): Promise<unknown> =>
  import(new URL(`../../../scripts/kernels/${name}`, import.meta.url).href);

describe('npm run kernels', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-kernels-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('has WGSL modules that are what the .wgsl files give, byte for byte: else run it', async () => {
    const { WGSL } = (await script('wgsl.mjs')) as { WGSL: { build: () => Promise<readonly Artefact[]> } };
    const artefacts = await WGSL.build();
    assert.ok(artefacts.length >= 3);
    for (const { path, bytes } of artefacts) assert.equal(await readFile(path, 'utf8'), Buffer.from(bytes).toString());
  });

  it('writes what differs, leaves what does not, and writes nothing where it only checks', async () => {
    const { update } = (await script('artefacts.mjs')) as {
      update: (artefact: Artefact, write: boolean) => Promise<boolean>;
    };
    const [path, old] = [join(folder, 'new', 'kernel.wasm'), join(folder, 'old.wasm')];
    const bytes = Uint8Array.of(1, 2, 3);
    assert.equal(await update({ path, bytes }, false), true);
    await assert.rejects(stat(path));
    assert.equal(await update({ path, bytes }, true), true);
    assert.deepEqual(new Uint8Array(await readFile(path)), bytes);
    const before = (await stat(path)).mtimeMs;
    assert.equal(await update({ path, bytes }, true), false);
    assert.equal((await stat(path)).mtimeMs, before);
    await writeFile(old, Uint8Array.of(1, 2));
    assert.equal(await update({ path: old, bytes }, false), true);
    assert.equal((await readFile(old)).length, 2);
  });

  it('finds out which tools are missing', async () => {
    const { missingOf } = (await script('tools.mjs')) as { missingOf: (programs: readonly string[]) => string[] };
    assert.deepEqual(missingOf([process.execPath, 'no-such-compiler-22']), ['no-such-compiler-22']);
  });
});
