import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scripted, startScriptedServer } from '../server/test-server.ts';

const run = promisify(execFile);
/** `npm i -g @openai/codex` and `@anthropic-ai/claude-code`, or their paths. They are too large to be dependencies. */
const CODEX = process.env['SWITCHYARD_TEST_CODEX'] ?? 'codex';
const CLAUDE = process.env['SWITCHYARD_TEST_CLAUDE'] ?? 'claude';
const PROCESS_MS = 60_000;

const FINISH = scripted('<|channel|>final<|message|>All finished');
/** The user's prompt that makes the model think, say something and call a tool. */
const callOf = (name: string, args: object): string =>
  scripted(
    '<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>' +
      `<|start|>assistant<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${JSON.stringify(args)}<|call|>`,
  );

/** Runs a program with nothing to read: both wait for more of the prompt as long as there may be any. */
async function runAgent(
  program: string,
  args: readonly string[],
  folder: string,
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  const running = run(program, args, {
    cwd: folder,
    env: { ...process.env, ...environment },
    timeout: PROCESS_MS,
  });
  running.child.stdin?.end();
  return (await running).stdout.trim();
}

/** A folder of its own for every test of a program; the tests are skipped where it is not installed. */
function withFolder(program: string): () => string {
  let folder = '';
  before(async function () {
    try {
      await run(program, ['--version']);
    } catch {
      process.stdout.write(`      skipped: there is no ${program}\n`);
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'switchyard-agent-'));
  });
  after(async () => {
    if (folder !== '') await rm(folder, { recursive: true, force: true });
  });
  return () => folder;
}

describe('the Codex CLI with its defaults', () => {
  const folder = withFolder(CODEX);
  /** Its tools follow the model's name: of a name that it does not know, and of the one that it takes by default. */
  const loops: readonly (readonly [model: string, prompt: string])[] = [
    ['gpt-oss-20b', callOf('exec_command', { cmd: `echo ${FINISH}` })],
    ['gpt-6.2-sol', callOf('exec', { input: `text(${JSON.stringify(FINISH)})` })],
  ];
  for (const [model, prompt] of loops) {
    it(`runs a whole loop with the tools that it has for ${model}`, async () => {
      await using server = await startScriptedServer({ modelId: model });
      await server.ready;
      const provider = `base_url = "${server.url}/v1"\nwire_api = "responses"\nenv_key = "KEY"\nname = "local"`;
      await writeFile(
        join(folder(), 'config.toml'),
        `model = "${model}"\nmodel_provider = "local"\n[model_providers.local]\n${provider}\n`,
      );
      const last = join(folder(), 'last.txt');
      const args = ['exec', '--skip-git-repo-check', '--output-last-message', last, prompt];
      await runAgent(CODEX, args, folder(), { CODEX_HOME: folder(), KEY: 'none' });
      assert.equal((await readFile(last, 'utf8')).trim(), 'All finished');
    }).timeout(2 * PROCESS_MS);
  }
});

describe('Claude Code with its defaults', () => {
  const folder = withFolder(CLAUDE);
  it('runs a whole loop', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    const prompt = callOf('Bash', { command: `echo ${FINISH}`, description: 'say it' });
    const answer = await runAgent(CLAUDE, ['-p', prompt, '--allowedTools', 'Bash'], folder(), {
      HOME: folder(),
      ANTHROPIC_BASE_URL: server.url,
      ANTHROPIC_API_KEY: 'none',
      ANTHROPIC_MODEL: 'scripted',
      ANTHROPIC_SMALL_FAST_MODEL: 'scripted',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    });
    assert.equal(answer, 'All finished');
  }).timeout(2 * PROCESS_MS);
});
