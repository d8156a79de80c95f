import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedCheckpointPath } from '@switchyard/models';
import { type HubFile, LoopbackHub } from '../../../models/test/fixtures/loopback-hub.ts';
import { BIN, runNode } from './switchyard.ts';

/** The embedded checkpoint as a repository of a hub. */
async function repository(): Promise<Record<string, HubFile>> {
  const folder = embeddedCheckpointPath();
  const files: Record<string, HubFile> = {};
  for (const name of await readdir(folder)) {
    files[name] = { bytes: await readFile(join(folder, name)), lfs: name.endsWith('.safetensors') };
  }
  return files;
}

describe('switchyard pull, and models by their names', () => {
  let hub: LoopbackHub;
  let folder: string;
  before(async () => {
    hub = await LoopbackHub.serve(await repository());
    folder = await mkdtemp(join(tmpdir(), 'switchyard-pull-'));
  });
  after(async () => {
    await hub[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  afterEach(() => {
    hub.fault = () => null;
  });

  const variables = (cache: string): NodeJS.ProcessEnv => ({
    HF_ENDPOINT: hub.url,
    HF_HUB_CACHE: join(folder, cache),
    HF_HOME: folder,
  });
  const run = (cache: string, ...words: readonly string[]): ReturnType<typeof runNode> =>
    runNode([BIN, ...words], variables(cache));

  it('leads from a name to an answer in three commands', async () => {
    const before = await run('three', 'inspect', 'acme/tiny', '--json', '--router', 'cpu');
    assert.equal(before.code, 0, before.stderr);
    const remote = JSON.parse(before.stdout) as { path: string; downloadBytes: number; config: object; memory: object };
    assert.equal(remote.path, 'acme/tiny');
    assert.ok(remote.downloadBytes > 15e6);

    const pulled = await run('three', 'pull', 'acme/tiny');
    assert.equal(pulled.code, 0, pulled.stderr);
    assert.equal(pulled.stdout, `${join(folder, 'three', 'models--acme--tiny', 'snapshots', 'a'.repeat(40))}\n`);
    assert.match(pulled.stderr, /^acme\/tiny: 1\d MB, 1\d MB of it downloaded\. Use it as --model acme\/tiny\n$/);

    const answer = await run('three', 'generate', '--model', 'acme/tiny', 'What is 17 + 25?');
    assert.match(answer.stdout, /\n42\n$/, answer.stderr);

    const after = await run('three', 'inspect', 'acme/tiny', '--json', '--router', 'cpu');
    const local = JSON.parse(after.stdout) as typeof remote;
    assert.deepEqual([local.downloadBytes, local.config], [0, remote.config]);
  });

  it('gives the command that gets a model which is not there', async () => {
    const { code, stderr } = await run('none', 'generate', '--model', 'acme/tiny@v2', 'a');
    assert.equal(code, 1);
    assert.match(stderr, /download it: npx @switchyard\/engine pull acme\/tiny@v2 \[MODEL_NOT_FOUND\]\n$/);
    const nowhere = await run('none', 'serve', '--model', join(folder, 'nowhere', 'at', 'all'), '--port', '0');
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /npx @switchyard\/engine pull openai\/gpt-oss-20b/);
  });

  it('fits models to this machine before they are downloaded, for every runner', async () => {
    const { stdout, code } = await run('fits', 'inspect', 'acme/tiny', '--router', 'cpu', '--memory-mib', '4096');
    assert.equal(code, 0);
    assert.match(stdout, /^download +1\d MB: switchyard pull acme\/tiny$/m);
    assert.match(stdout, /^with onnxruntime +4\.3 GB to be had: exact takes \d+ MB, leaves 131072 tokens of context/m);
    assert.match(stdout, /^with hip +(?:none: [^·]+$|.*takes )/m);
    assert.ok(!(await readdir(folder)).includes('fits'));
  });

  it('prints JSON for programs, and says how many connections it may have', async () => {
    const { stdout, code } = await run('json', 'pull', 'acme/tiny', '--json', '--connections', '1');
    assert.equal(code, 0);
    const { name, commit, totalBytes, downloadedBytes } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([name, commit, totalBytes], ['acme/tiny', 'a'.repeat(40), downloadedBytes]);
    const again = await run('json', 'pull', 'acme/tiny');
    assert.match(again.stderr, /there already/);
  });

  it('is refused without a name, with two, and with what is none', async () => {
    assert.deepEqual(
      await Promise.all([run('x', 'pull'), run('x', 'pull', 'acme')].map(async (done) => (await done).code)),
      [2, 1],
    );
    assert.match((await run('x', 'pull', 'acme/tiny', 'acme/other')).stderr, /\[INVALID_MODEL_NAME\]/);
    const both = await run('x', 'inspect', 'acme/tiny', '--model', 'acme/other');
    assert.deepEqual([both.code, /More than one model/.test(both.stderr)], [2, true]);
  });

  it('stops at a signal, and goes on from there with the same command', async function () {
    // Windows ends a process at once.
    if (process.platform === 'win32') this.skip();
    const child = spawn(process.execPath, [BIN, 'pull', 'acme/tiny'], {
      env: { ...process.env, ...variables('stop') },
    });
    let noise = '';
    child.stderr.on('data', (data: Buffer) => (noise += data.toString()));
    const seen = new Promise<void>((resolve) => {
      hub.fault = ({ storage }) => {
        if (!storage) return null;
        resolve();
        return { silent: true };
      };
    });
    await seen;
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number];
    assert.deepEqual([code, /stopped · by SIGTERM · the same command goes on/.test(noise)], [1, true], noise);
    hub.fault = () => null;
    hub.requests.length = 0;
    assert.equal((await run('stop', 'pull', 'acme/tiny')).code, 0);
    // The small files were there.
    assert.ok(!hub.downloads.some(({ path }) => path.endsWith('/config.json')));
  });

  it('says in words what the hub refuses', async () => {
    hub.fault = () => ({ status: 403, headers: { 'x-error-code': 'GatedRepo' } });
    const { code, stderr } = await runNode([BIN, 'pull', 'acme/tiny'], { ...variables('gated'), HF_TOKEN: 'hf_x' });
    assert.deepEqual([code, /accept the model's terms at .* \[HUB_ACCESS_DENIED\]\n$/.test(stderr)], [1, true], stderr);
    assert.ok(!stderr.includes('hf_x'));
  });
});
