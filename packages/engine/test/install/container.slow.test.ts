import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readStages, runStage, type Stage } from './container-file.ts';
import { eventually, freePort } from './local-server.ts';
import { emptyFolder, registryFault, run } from './packed-packages.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const QUESTION = { messages: [{ role: 'user', content: 'What is 17 + 25?' }] };

async function answerOf(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(QUESTION),
  });
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? '';
}

describe('The container', function () {
  this.timeout(900_000);
  let folder: string;
  let hasEngine: boolean;
  before(async function () {
    folder = await emptyFolder();
    const fault = await registryFault(folder);
    if (fault !== null) {
      console.log(`      skipped: npm's registry cannot be reached (${fault})`);
      this.skip();
    }
    hasEngine = (await run(folder, 'docker', 'info', '--format', '{{.ServerVersion}}')).code === 0;
  });
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  it('is built and answers, where there is a container engine', async function () {
    if (!hasEngine) {
      console.log('      skipped: no container engine answers; its steps run in clean folders instead');
      this.skip();
    }
    const docker = (...words: readonly string[]): Promise<{ stdout: string }> => promisify(execFile)('docker', words);
    await docker('build', '--quiet', '--target', 'cpu', '--tag', 'switchyard-test', ROOT);
    const port = await freePort();
    const { stdout } = await docker(
      'run',
      '--rm',
      '--init',
      '--detach',
      '-p',
      `127.0.0.1:${port}:8000`,
      'switchyard-test',
    );
    const id = stdout.trim();
    try {
      await eventually(
        async () => (await docker('inspect', '-f', '{{.State.Health.Status}}', id)).stdout.trim() === 'healthy',
      );
      assert.equal(await answerOf(port), '42');
    } finally {
      await docker('stop', id);
    }
  });

  it('has steps that work in clean folders, a health check that tells a server that answers, and ends at SIGTERM', async function () {
    if (hasEngine || process.platform === 'win32') {
      console.log(
        `      skipped: ${hasEngine ? 'a container engine builds the image itself' : 'its steps are those of a POSIX shell'}`,
      );
      this.skip();
    }
    console.log('      no container engine answers: the steps of pack, install and cpu run in folders of this machine');
    // What a container engine is sent: the files of a checkout, without those of .dockerignore.
    const context = join(folder, 'context');
    const { stdout } = await promisify(execFile)(
      'git',
      ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
      {
        cwd: ROOT,
        maxBuffer: 2 ** 24,
      },
    );
    for (const path of stdout.split('\0').filter(Boolean)) {
      await cp(join(ROOT, path), join(context, path), { recursive: true }).catch((error: NodeJS.ErrnoException) => {
        // Deleted and not committed yet.
        if (error.code !== 'ENOENT') throw error;
      });
    }
    const stages = readStages(await readFile(join(ROOT, 'Dockerfile'), 'utf8'));
    assert.deepEqual([...stages.keys()], ['pack', 'install', 'cpu', 'rocm']);
    const done = new Map<string, Stage>();
    for (const name of ['pack', 'install', 'cpu']) {
      done.set(name, await runStage(stages.get(name) ?? [], join(folder, name), context, done));
      // Only what later stages copy may be needed.
      if (name === 'install') await rm(join(folder, 'pack', 'source'), { recursive: true });
    }
    const image = done.get('cpu');
    assert.ok(image !== undefined);
    assert.deepEqual([image.user, image.entrypoint, image.command], ['1000:1000', ['switchyard'], ['serve']]);
    const port = await freePort();
    const path = `${image.variables['PATH']?.split(':')[0] ?? ''}:${process.env['PATH'] ?? ''}`;
    const env = { ...image.variables, PATH: path, SWITCHYARD_HOST: '127.0.0.1', SWITCHYARD_PORT: String(port) };
    const isHealthy = (): Promise<boolean> =>
      promisify(execFile)('sh', ['-c', image.healthCheck], { env }).then(
        () => true,
        () => false,
      );
    assert.equal(await isHealthy(), false);
    const [program = '', ...words] = [...image.entrypoint, ...image.command];
    const server = spawn(program, words, { env, cwd: image.root, stdio: 'ignore' });
    try {
      await eventually(isHealthy);
      assert.equal(await answerOf(port), '42');
      server.kill('SIGTERM');
      const [code] = (await once(server, 'exit')) as [number | null];
      assert.equal(code, 0);
      assert.equal(await isHealthy(), false);
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('has the same last steps for both kinds of device', async () => {
    const stages = readStages(await readFile(join(ROOT, 'Dockerfile'), 'utf8'));
    const steps = (name: string): string[] =>
      (stages.get(name) ?? [])
        .filter(({ name: kind, rest }) => kind !== 'COPY' || rest.endsWith('/app'))
        .map(({ name: kind, rest }) => `${kind} ${rest.replace(' SWITCHYARD_RUNNER=hip', '')}`);
    assert.deepEqual(steps('rocm'), steps('cpu'));
  });
});
