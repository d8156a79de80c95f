import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scripted, startScriptedServer } from '../server/test-server.ts';

const run = promisify(execFile);
/** The Codex CLI: `npm i -g @openai/codex`, or its path in SWITCHYARD_TEST_CODEX. It is too large to be a dependency. */
const CODEX = process.env['SWITCHYARD_TEST_CODEX'] ?? 'codex';

const call = (name: string, args: object): string =>
  scripted(
    '<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>' +
      `<|start|>assistant<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${JSON.stringify(args)}<|call|>`,
  );
const FINISH = scripted('<|channel|>final<|message|>All finished');

/** Its tools follow the model's name: of a name that it does not know, and of the one that it takes by default. */
const LOOPS: readonly (readonly [model: string, prompt: string])[] = [
  ['gpt-oss-20b', call('exec_command', { cmd: `echo ${FINISH}` })],
  ['gpt-6.2-sol', call('exec', { input: `text(${JSON.stringify(FINISH)})` })],
];

describe('the Codex CLI with its defaults', () => {
  let folder: string;
  before(async function () {
    try {
      await run(CODEX, ['--version']);
    } catch {
      process.stdout.write(`      skipped: there is no ${CODEX}\n`);
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'switchyard-codex-'));
  });
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  for (const [model, prompt] of LOOPS) {
    it(`runs a whole loop with the tools that it has for ${model}`, async () => {
      await using server = await startScriptedServer({ modelId: model });
      await server.ready;
      const provider = `base_url = "${server.url}/v1"\nwire_api = "responses"\nenv_key = "KEY"\nname = "local"`;
      await writeFile(
        join(folder, 'config.toml'),
        `model = "${model}"\nmodel_provider = "local"\n[model_providers.local]\n${provider}\n`,
      );
      const last = join(folder, 'last.txt');
      const running = run(CODEX, ['exec', '--skip-git-repo-check', '--output-last-message', last, prompt], {
        cwd: folder,
        env: { ...process.env, CODEX_HOME: folder, KEY: 'none' },
        timeout: 60_000,
      });
      // It waits for more of the prompt as long as there may be any.
      running.child.stdin?.end();
      await running;
      assert.equal((await readFile(last, 'utf8')).trim(), 'All finished');
    }).timeout(120_000);
  }
});
