import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const REPOSITORY = new URL('../../../../scripts/repository.mjs', import.meta.url);
const PACKAGES = ['gpu', 'router-kernel', 'models', 'engine'];

interface Manifest {
  readonly version: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly license: string;
  readonly engines: { readonly node: string };
  readonly sideEffects: boolean;
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
}

const manifestOf = async (name: string): Promise<Manifest> =>
  JSON.parse(await readFile(new URL(`../../../${name}/package.json`, import.meta.url), 'utf8')) as Manifest;

describe('The packages, as npm shows them', () => {
  it('say what they are, in one version, for the same Node, and let bundlers leave out what is not used', async () => {
    const manifests = await Promise.all(PACKAGES.map(manifestOf));
    const [first] = manifests;
    for (const { description, keywords, license, sideEffects, version, engines } of manifests) {
      assert.ok(description.length > 20);
      assert.ok(keywords.length >= 5 && new Set(keywords).size === keywords.length);
      assert.deepEqual([license, sideEffects, version, engines], ['Apache-2.0', false, first?.version, first?.engines]);
    }
  });

  it('take no tests, benchmarks or build state along', async () => {
    for (const name of PACKAGES) {
      const { files } = await manifestOf(name);
      assert.ok(files.includes('!dist/.tsbuildinfo'));
      for (const folder of ['test', 'bench', 'scripts', 'training'])
        assert.ok(!files.includes(folder), `${name} ${folder}`);
    }
  });

  it("need the version of koffi's binaries that the page on installing names", async () => {
    const page = await readFile(new URL('../../../../docs/embedding.md', import.meta.url), 'utf8');
    const [, named] = /@koromix\/koffi-[^\n]*@([\d.]+)"$/m.exec(page) ?? [];
    for (const name of ['gpu', 'models', 'engine']) assert.equal((await manifestOf(name)).dependencies['koffi'], named);
  });

  it('have one command where npx is to find it by the name of the package', async () => {
    const { bin = {} } = await manifestOf('engine');
    assert.deepEqual(Object.keys(bin), ['switchyard']);
  });

  it('name the repository that a clone was cloned from, and nobody who cloned it', async () => {
    const { repositoryAddress } = (await import(REPOSITORY.href)) as {
      readonly repositoryAddress: (remote: string) => string | null;
    };
    const address = 'git+https://git.example.com/team/switchyard.git';
    const remotes = [
      'https://git.example.com/team/switchyard.git',
      'https://git.example.com/team/switchyard',
      'https://git.example.com/team/switchyard/',
      'https://somebody:secret@git.example.com:8443/team/switchyard.git',
      'ssh://git@git.example.com:2222/team/switchyard.git',
      'git@git.example.com:team/switchyard.git',
      'git@git.example.com:/team/switchyard.git',
    ];
    for (const remote of remotes) assert.equal(repositoryAddress(remote), address, remote);
    const unreachable = [
      '/home/somebody/switchyard',
      '../switchyard',
      'file:///srv/git/a.git',
      'http://a.example/b.git',
    ];
    for (const remote of [...unreachable, 'https://localhost/a.git', 'build:a.git', '']) {
      assert.equal(repositoryAddress(remote), null, remote);
    }
  });
});
