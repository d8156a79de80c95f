import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLineDocument } from '../../src/cli/help.ts';
import { COMMANDS } from '../../src/cli/option-table.ts';
import { reference } from '../golden/reference.ts';
import { CAN_MAKE_HOLES, limitBetweenPrecisions, writeSparseCheckpoint } from '../fixtures/sparse-checkpoint.ts';
import { BIN, cutOff, runNode, runWithInput, switchyard, switchyardHere } from './switchyard.ts';

describe('switchyard', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('answers as JSON and writes the routing', async () => {
    const trace = join(folder, 'trace.json');
    const { code, stdout } = await switchyard(
      'generate',
      '--prompt',
      'What is 17 + 25?',
      '--json',
      '--trace-routing',
      trace,
    );
    assert.equal(code, 0);
    const answer = JSON.parse(stdout) as { final: string; ids: number[]; usage: { promptTokens: number } };
    assert.equal(answer.final, '42');
    assert.deepEqual(Object.keys(answer), [
      'ids',
      'text',
      'analysis',
      'final',
      'toolCalls',
      'finishReason',
      'usage',
      'timings',
      'router',
    ]);
    const layers = JSON.parse(await readFile(trace, 'utf8')) as {
      layer: number;
      experts: number[][];
      weights: number[][];
    }[];
    assert.equal(layers.length, 6);
    for (const { experts, weights } of layers) {
      assert.equal(experts.length, answer.usage.promptTokens + answer.ids.length);
      assert.equal(weights.length, experts.length);
    }
  });

  it('takes its prompt from words, from a pipe, or from an option, and says so where there is none or two', async () => {
    const question = 'What is 17 + 25?';
    const answerOf = (
      words: readonly string[],
      piped = '',
    ): Promise<{ code: number; stdout: string; stderr: string }> => runWithInput([BIN, 'generate', ...words], piped);
    assert.match((await answerOf(['What', 'is', '17 + 25?'])).stdout, /\n42\n$/);
    assert.match((await answerOf([], `${question}\n`)).stdout, /\n42\n$/);
    for (const words of [[], ['  ']]) {
      const { code, stderr } = await answerOf(words);
      assert.deepEqual([code, stderr.startsWith('switchyard: No prompt · ')], [2, true], stderr);
    }
    const two = await answerOf(['a', '--prompt', 'b']);
    assert.deepEqual([two.code, /More than one prompt/.test(two.stderr)], [2, true], two.stderr);
    const binary = await runWithInput([BIN, 'generate'], Buffer.of(0xff, 0xfe));
    assert.deepEqual([binary.code, /no UTF-8 text/.test(binary.stderr)], [1, true], binary.stderr);
  });

  it('goes on from token ids as transformers does, and traces the experts that transformers names', async () => {
    const [prompt] = reference;
    assert.ok(prompt !== undefined);
    const trace = join(folder, 'reference-trace.json');
    const words = ['--prompt-ids', prompt.ids.join(), '--max-tokens', String(prompt.greedy.length), '--json'];
    const { code, stdout } = await switchyard('generate', ...words, '--trace-routing', trace);
    assert.equal(code, 0);
    assert.deepEqual((JSON.parse(stdout) as { ids: number[] }).ids, prompt.greedy);
    const layers = JSON.parse(await readFile(trace, 'utf8')) as {
      layer: number;
      experts: number[][];
      weights: number[][];
    }[];
    assert.deepEqual(
      layers.map(({ layer }) => layer),
      prompt.routers.map((_, layer) => layer),
    );
    for (const [layer, { experts, weights }] of prompt.routers.entries()) {
      const traced = layers[layer];
      for (const [token, chosen] of experts.entries()) {
        for (const [k, expert] of chosen.entries()) {
          const weight = weights[token]?.[k] ?? Number.NaN;
          const found = traced?.experts[token]?.indexOf(expert) ?? -1;
          // Two of nearly the same weight may change places.
          assert.ok(Math.abs((traced?.weights[token]?.[found] ?? Number.NaN) - weight) < 1e-4);
          assert.ok(Math.abs((traced?.weights[token]?.[k] ?? Number.NaN) - weight) < 1e-4);
        }
      }
    }
  });

  it('gives the likelihoods that transformers gives, from text and from ids', async () => {
    const file = join(folder, 'reference.jsonl');
    const lines = reference.flatMap(({ text, ids }) => [{ text }, { ids }]);
    await writeFile(file, lines.map((line) => JSON.stringify(line)).join('\n\n'));
    const { code, stdout } = await switchyard('score', '--file', file, '--json');
    assert.equal(code, 0);
    const scores = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { nll: number; tokens: number });
    assert.equal(scores.length, 2 * reference.length);
    for (const [index, { nll, tokens }] of scores.entries()) {
      const expected = reference[Math.floor(index / 2)];
      assert.equal(tokens, expected?.ids.length);
      assert.ok(Math.abs(nll / (expected?.prompt_nll ?? 0) - 1) < 1e-3, `${nll}`);
    }
    // The same as text.
    const text = await switchyard('score', '--file', file);
    assert.equal(text.stdout, scores.map(({ nll, tokens }) => `${nll.toFixed(4)}\t${tokens}\n`).join(''));
  });

  it('answers messages with tools, and prints plain text where nobody looks', async () => {
    const messages = join(folder, 'messages.json');
    await writeFile(messages, JSON.stringify([{ role: 'user', content: "What's the weather in Paris?" }]));
    const tools = join(folder, 'tools.json');
    const parameters = { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] };
    await writeFile(tools, JSON.stringify([{ type: 'function', function: { name: 'get_weather', parameters } }]));
    const { code, stdout, stderr } = await switchyard('generate', '--messages', messages, '--tools', tools);
    assert.equal(code, 0);
    assert.match(stdout, /^.+\nget_weather\(\{"location":"Paris"\}\)\n$/);
    assert.ok(!stdout.includes('\u001b'));
    assert.equal(stderr, '');
    const json = await switchyard('generate', '--messages', messages, '--tools', tools, '--json');
    const answer = JSON.parse(json.stdout) as {
      toolCalls: { name: string; arguments: string }[];
      finishReason: string;
    };
    assert.equal(answer.finishReason, 'tool-calls');
    assert.deepEqual(
      answer.toolCalls.map(({ name, arguments: text }) => [name, text]),
      [['get_weather', '{"location":"Paris"}']],
    );
  });

  it('ends in peace where its reader goes away', async () => {
    for (let time = 0; time < 3; time++) {
      assert.deepEqual(await cutOff(BIN, 'generate', '--prompt', 'What is a lighthouse?'), [0, null, '']);
    }
  });

  it('ends at --stop and --max-tokens, and draws the same with the same --seed', async () => {
    const ask = async (...words: string[]): Promise<{ final: string; ids: number[]; finishReason: string }> => {
      const { stdout } = await switchyardHere('generate', '--prompt', 'What is a lighthouse?', '--json', ...words);
      return JSON.parse(stdout) as { final: string; ids: number[]; finishReason: string };
    };
    const stopped = await ask('--stop', 'light that');
    assert.deepEqual([stopped.final, stopped.finishReason], ['Lighthouse: a tower with a ', 'stop']);
    const cut = await ask('--max-tokens', '5');
    assert.deepEqual([cut.ids.length, cut.finishReason], [5, 'length']);
    const draw = ['--temperature', '5', '--max-tokens', '12', '--seed'];
    const [one, again, other] = [await ask(...draw, '1'), await ask(...draw, '1'), await ask(...draw, '2')];
    assert.deepEqual(one.ids, again.ids);
    assert.notDeepEqual(one.ids, other.ids);
  });

  it('leaves an earlier trace as it was where the run fails, and nothing half-written', async () => {
    const own = await mkdtemp(join(folder, 'trace-'));
    const trace = join(own, 'trace.json');
    await writeFile(trace, 'earlier');
    const words = ['generate', '--prompt', 'a', '--trace-routing'];
    assert.equal((await switchyard(...words, trace, '--model', folder)).code, 1);
    assert.equal(await readFile(trace, 'utf8'), 'earlier');
    assert.equal((await switchyard(...words, trace, '--max-tokens', '1')).code, 0);
    assert.equal((JSON.parse(await readFile(trace, 'utf8')) as unknown[]).length, 6);
    assert.deepEqual(await readdir(own), ['trace.json']);
    const nowhere = await switchyard(...words, join(folder, 'nowhere', 'trace.json'));
    assert.deepEqual([nowhere.code, nowhere.stdout], [1, '']);
    assert.match(nowhere.stderr, /cannot be written .* \[OUTPUT_FILE\]\n$/);
  });

  it('inspects configuration, tensors, memory plan and devices', async () => {
    const { code, stdout } = await switchyard('inspect', '--json', '--router', 'cpu');
    assert.equal(code, 0);
    const found = JSON.parse(stdout) as {
      layout: string;
      config: { layers: number; experts: number };
      tensors: { name: string; dtype: string; shape: number[] }[];
      tensorBytes: number;
      runner: string;
      router: { backend: string };
      devices: { backend: string; device: string | null; reason?: string }[];
      memory: { weightBytes: number; kvBytesPerToken: number; longestSequence: number };
    };
    assert.deepEqual([found.layout, found.config.layers, found.config.experts], ['huggingface', 6, 32]);
    assert.match(found.runner, /^(?:native|onnxruntime-cpu)$/);
    assert.equal(found.router.backend, 'cpu');
    const index = JSON.parse(
      await readFile(
        new URL('../../../models/checkpoints/pocket-dictionary/model.safetensors.index.json', import.meta.url),
        'utf8',
      ),
    ) as { weight_map: Record<string, string>; metadata: { total_size: number } };
    assert.deepEqual(found.tensors.map(({ name }) => name).sort(), Object.keys(index.weight_map).sort());
    assert.equal(found.tensorBytes, index.metadata.total_size);
    assert.equal(found.memory.kvBytesPerToken, 6 * 2 * 2 * 64 * 4);
    assert.deepEqual(found.devices.map(({ backend }) => backend).sort(), ['cpu', 'hip', 'webgpu']);
    for (const { device, reason } of found.devices) assert.ok(device !== null || (reason ?? '') !== '');
    const text = await switchyard('inspect', '--router', 'cpu');
    for (const word of ['checkpoint', 'experts', 'window', 'context', 'KV cache', 'fits', 'device cpu']) {
      assert.match(text.stdout, new RegExp(`^${word} `, 'm'));
    }
    assert.match(text.stdout, /^U8 +\[32, 256, 8, 16\] {2}model\.layers\.0\.mlp\.experts\.gate_up_proj_blocks$/m);
  });

  it('inspects the shape of gpt-oss-20b without loading it: no weight is read, no runner is there', async function () {
    if (!CAN_MAKE_HOLES) this.skip();
    const model = await mkdtemp(join(folder, 'gpt-oss-20b-'));
    const limit = limitBetweenPrecisions(await writeSparseCheckpoint(model));
    const mebibytes = String(limit / 2 ** 20);
    const report = join(model, 'process.json');
    const onOrt = ['--runner', 'onnxruntime', '--router', 'cpu'];
    const preload = new URL('./report-process.mjs', import.meta.url).href;
    const { code, stdout } = await runNode(
      [`--import=${preload}`, BIN, 'inspect', '--json', ...onOrt, '--memory-mib', mebibytes, '--model', model],
      { PROCESS_REPORT: report },
    );
    assert.equal(code, 0);
    const { libraries, residentBytes } = JSON.parse(await readFile(report, 'utf8')) as {
      libraries: string[];
      residentBytes: number;
    };
    assert.ok(libraries.length > 0);
    assert.deepEqual(
      libraries.filter((library) => library.includes('onnxruntime')),
      [],
    );
    // A layer alone has 0.5 GB.
    assert.ok(residentBytes < 400e6, `${residentBytes} bytes resident`);
    const { memory, tensorBytes } = JSON.parse(stdout) as {
      tensorBytes: number;
      memory: {
        limitBytes: number;
        precisions: {
          precision: string;
          weights: { kind: string; bytes: number }[];
          weightBytes: number;
          requiredBytes: number;
          fits: boolean;
          kv: { budgetBytes: number; longestSequence: number } | null;
        }[];
      };
    };
    assert.ok(tensorBytes > 13e9);
    assert.equal(memory.limitBytes, limit);
    assert.deepEqual(
      memory.precisions.map(({ precision, fits }) => [precision, fits]),
      [
        ['exact', false],
        ['int4', true],
      ],
    );
    for (const { weights, weightBytes, requiredBytes, kv } of memory.precisions) {
      assert.equal(
        weights.reduce((sum, { bytes }) => sum + bytes, 0),
        weightBytes,
      );
      assert.ok(requiredBytes > weightBytes);
      assert.ok(kv === null || weightBytes + kv.budgetBytes < memory.limitBytes);
    }
    const text = await switchyard('inspect', ...onOrt, '--memory-mib', mebibytes, '--model', model);
    assert.match(text.stdout, /^expert precision {2,}exact +int4$/m);
    assert.match(text.stdout, /^fits {2,}does not fit +fits$/m);
    assert.match(text.stdout, /^longest sequence {2,}- +\d+ tokens$/m);

    const refused = await switchyard(
      'generate',
      '--prompt',
      'a',
      ...onOrt,
      '--memory-mib',
      mebibytes,
      '--model',
      model,
    );
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(refused.stderr, /does not fit the memory .*--expert-precision int4.* \[INSUFFICIENT_MEMORY\]\n$/);
  });

  it('answers where the system tells neither its folders nor its processors nor its memory', async () => {
    const preload = new URL('./break-environment.mjs', import.meta.url).href;
    const words = [BIN, 'generate', '--prompt', 'What is 17 + 25?', '--router', 'cpu', '--json'];
    const { code, stdout, stderr } = await runNode([`--import=${preload}`, ...words]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal((JSON.parse(stdout) as { final: string }).final, '42');
  });

  it('scores a file line by line', async () => {
    const file = join(folder, 'texts.jsonl');
    await writeFile(file, '{"text":"<|start|>user"}\n{"ids":[1,2,3]}\n');
    const { code, stdout } = await switchyard('score', '--file', file, '--json');
    assert.equal(code, 0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { nll: number; tokens: number });
    assert.deepEqual(
      lines.map(({ tokens }) => tokens),
      [2, 3],
    );
    for (const { nll } of lines) assert.ok(nll > 0);
  });

  it('exits with 2 for wrong usage', async () => {
    const wrong = [
      [],
      ['frobnicate'],
      ['generate'],
      ['generate', '--prmpt', 'a'],
      ['generate', '--prompt', 'a', '--max-tokens', 'many'],
      ['generate', '--prompt', 'a', '--prompt-ids', '1'],
      ['generate', '--prompt-ids', '1,x'],
      ['generate', '--prompt', 'a', '--router', 'gpu'],
      ['generate', '--prompt', ''],
      ['generate', '--prompt', 'a', '--top-p', '2'],
      ['generate', '--prompt', 'a', '--stop', ''],
      ['score', 'stray'],
      ['inspect', '--prompt', 'a'],
      ['score'],
      ['verify'],
      ['verify', '--runner', 'auto'],
      ['verify', '--runner', 'onnxruntime', '--shape', 'gpt-oss-20b'],
      ['bench'],
      ['bench', '--runner', 'onnxruntime', '--shape', 'gpt-oss-20b'],
      ['bench', '--runner', 'hip', '--shape', 'gpt-oss-20b', '--model', 'somewhere'],
      ['bench', '--runner', 'onnxruntime', '--batch', '1,two'],
      ['bench', '--runner', 'onnxruntime', '--prompt', '0'],
    ];
    for (const words of wrong) {
      const { code, stderr, stdout } = await switchyardHere(...words);
      assert.equal(code, 2, words.join(' '));
      assert.match(stderr, /^switchyard: .+\n$/);
      assert.equal(stdout, '');
    }
    const { code, stderr, stdout } = await switchyard('frobnicate');
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^switchyard: .+\n$/);
  });

  it('exits with 1 for what goes wrong later', async () => {
    const missing = await switchyard('generate', '--model', join(folder, 'nothing'), '--prompt', 'a');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /MODEL_NOT_FOUND/);
    assert.equal((await switchyard('score', '--file', join(folder, 'nothing.jsonl'))).code, 1);
    const lines = join(folder, 'wrong.jsonl');
    for (const [text, message] of [
      ['{"text":"a"}\n\n{"text":""}', /found line 3 without tokens/],
      ['{"ids":[]}', /found line 1 without tokens/],
      ['{"ids":[1,"2"]}', /found line 1 without text or ids/],
      ['{"texts":"a"}', /found line 1 without text or ids/],
      ['{"text":"a"}\n{', /found line 2 that is no JSON/],
    ] as const) {
      await writeFile(lines, text);
      const { code, stdout, stderr } = await switchyardHere('score', '--file', lines, '--json');
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, message);
    }
  });

  it('helps', async () => {
    assert.equal((await switchyard('--help')).code, 0);
    assert.match((await switchyard('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
    for (const { name, options } of COMMANDS) {
      assert.match((await switchyardHere(name, '--version')).stdout, /^\d+\.\d+\.\d+\n$/);
      const { code, stdout } = await switchyardHere(name, '--help');
      assert.equal(code, 0);
      for (const option of options) assert.ok(stdout.includes(`--${option.name}`));
    }
  });

  it('is documented by docs/cli.md as it is', async () => {
    assert.equal(await readFile(new URL('../../../../docs/cli.md', import.meta.url), 'utf8'), commandLineDocument());
  });
});
