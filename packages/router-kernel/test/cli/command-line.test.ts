import assert from 'node:assert/strict';
import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { describeGpu } from '../../src/cli/devices.ts';
import { defineCommand, describeOptions, integerOf, parseOptions, UsageError } from '../../src/cli/command.ts';
import { main } from '../../src/cli/main.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], signal: AbortSignal = new AbortController().signal): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await main(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    signal,
  });
  return { code, out, err };
}

describe('router-kernel', () => {
  it('lists its commands', async () => {
    const { code, out } = await run(['--help']);
    assert.equal(code, 0);
    for (const command of ['devices', 'verify', 'compile', 'bench'])
      assert.match(out, new RegExp(`^  ${command} `, 'm'));
  });

  it('without a command is wrong usage', async () => {
    const { code, out, err } = await run([]);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /^Usage: router-kernel COMMAND/);
  });

  it('refuses a command that it does not have', async () => {
    for (const name of ['route', 'constructor', '__proto__']) {
      const { code, err } = await run([name]);
      assert.equal(code, 2);
      assert.match(err, new RegExp(`There is no such command · found '${name}' · use one of devices, verify`));
    }
  });
});

describe('router-kernel verify', () => {
  it('passes on the CPU, with a count of rows', async () => {
    const { code, out, err } = await run(['verify', '--backend', 'cpu', '--level', 'smoke']);
    assert.equal(err, '');
    assert.equal(code, 0);
    const rows = /passed\. (\d+) rows of \d+ configurations checked/.exec(out)?.[1];
    assert.ok(Number(rows) > 1000);
    assert.match(out, /; 0 ids and 0 weights differ;/);
  });

  it('prints one JSON object', async () => {
    const { code, out } = await run(['verify', '--backend=cpu', '--level=smoke', '--json']);
    assert.equal(code, 0);
    const result: unknown = JSON.parse(out);
    assert.ok(typeof result === 'object' && result !== null);
    assert.equal(Reflect.get(result, 'backend'), 'cpu');
    assert.equal(Reflect.get(result, 'passed'), true);
    assert.equal(Reflect.get(result, 'mismatchedIds'), 0);
    assert.ok(Reflect.get(result, 'rows') > 1000);
  });

  it('shows every option in its help', async () => {
    const { code, out } = await run(['verify', '--help']);
    assert.equal(code, 0);
    for (const option of ['--backend cpu|hip|webgpu', '--level smoke|quick|full', '--software', '--json']) {
      assert.ok(out.includes(option), option);
    }
  });

  const wrong: readonly (readonly [args: readonly string[], text: RegExp])[] = [
    [[], /--backend is needed · found none · give it as --backend cpu\|hip\|webgpu/],
    [['--backend', 'gpu'], /--backend must be one of cpu, hip, webgpu · found 'gpu'/],
    [['--backend', 'cpu', '--level', 'all'], /--level must be one of smoke, quick, full · found 'all'/],
    [['--backend', 'cpu', '--software'], /--software needs --backend webgpu · found --backend cpu/],
    [['--backend', 'cpu', '--fast'], /--fast/],
    [['--backend', 'cpu', '--device', '0'], /--device needs --backend hip · found --backend cpu/],
    [['--backend'], /--backend/],
    [['cpu'], /cpu/],
  ];
  for (const [args, text] of wrong) {
    it(`refuses [${args.join(' ')}]`, async () => {
      const { code, out, err } = await run(['verify', ...args]);
      assert.equal(code, 2);
      assert.equal(out, '');
      assert.match(err, text);
      assert.match(err, /See router-kernel verify --help\.\n$/);
    });
  }

  it('stops when it is interrupted', async () => {
    const { code, err } = await run(['verify', '--backend', 'cpu'], AbortSignal.abort());
    assert.equal(code, 130);
    assert.equal(err, 'Stopped.\n');
  });
});

describe('router-kernel devices', () => {
  it('names each backend, with its device or the reason', async () => {
    const { code, out } = await run(['devices', '--json']);
    assert.equal(code, 0);
    const { backends } = JSON.parse(out) as { backends: Record<string, unknown>[] };
    assert.deepEqual(
      backends.map((one) => one['backend']),
      ['hip', 'webgpu', 'cpu'],
    );
    for (const { device, reason } of backends) assert.notEqual(device === null, reason === null);
    assert.notEqual(backends[2]?.['device'], null);
    const { out: text } = await run(['devices']);
    for (const backend of ['hip', 'webgpu', 'cpu']) assert.match(text, new RegExp(`^${backend} +\\S`, 'm'));
  });
});

describe('router-kernel devices, for a GPU', () => {
  const gpu = { id: 'amd:1', name: 'AMD Instinct MI300X', architecture: 'gfx942', memoryBytes: 192 * 2 ** 30 };

  it('shows how to choose it, its architecture and its memory', () => {
    assert.equal(
      describeGpu({ ...gpu, isIntegrated: false, isDefault: true }),
      'amd:1     AMD Instinct MI300X, gfx942, 192.0 GiB, the default',
    );
    assert.equal(
      describeGpu({ ...gpu, id: 'amd:0', isIntegrated: true, isDefault: false }),
      'amd:0     AMD Instinct MI300X, gfx942, 192.0 GiB, integrated',
    );
  });

  it('gives lists in the JSON, of which those of webgpu and cpu are empty', async () => {
    const { out } = await run(['devices', '--json']);
    const { backends } = JSON.parse(out) as { backends: { devices: unknown[]; variables: unknown[] }[] };
    assert.deepEqual(
      backends.map(({ devices, variables }) => [Array.isArray(devices), Array.isArray(variables)]),
      [
        [true, true],
        [true, true],
        [true, true],
      ],
    );
    assert.deepEqual(
      backends.slice(1).flatMap(({ devices, variables }) => [...devices, ...variables]),
      [],
    );
  });
});

describe('router-kernel compile', () => {
  const shape = ['--experts', '128', '--top-k', '4'];

  it('takes an architecture with the settings that AMD names beside it', async function () {
    const { code, out } = await run(['compile', '--arch', 'gfx90a:xnack-:sramecc+', ...shape, '--name']);
    assert.equal(code, 0);
    assert.match(out, /topk_gating_softmax_e128_k4_bf16/);
    skipWithoutLlvm.call(this);
    const compiled = await run(['compile', '--arch', 'gfx90a:xnack-:sramecc+', ...shape, '--json']);
    assert.equal(compiled.err, '');
    const { arch, scratch } = JSON.parse(compiled.out) as { arch: string; scratch: number };
    assert.deepEqual([arch, scratch], ['gfx90a:sramecc+:xnack-', 0]);
  });

  it("takes one of LLVM's generic processors", async function () {
    skipWithoutLlvm.call(this);
    const { err, out } = await run(['compile', '--arch', 'gfx9-4-generic:xnack-', ...shape, '--json']);
    assert.equal(err, '');
    const { arch, scratch } = JSON.parse(out) as { arch: string; scratch: number };
    assert.deepEqual([arch, scratch], ['gfx9-4-generic:xnack-', 0]);
  });

  it('refuses gfx803 in plain words', async () => {
    const { code, err } = await run(['compile', '--arch', 'gfx803', ...shape]);
    assert.equal(code, 1);
    assert.match(err, /^gfx803 is not supported · .* \[UNSUPPORTED_ARCHITECTURE\]\n$/);
  });

  for (const arch of ['gfx942:fast+', 'mi300x', 'gfx942:xnack+:xnack-']) {
    it(`refuses --arch ${arch}`, async () => {
      const { code, err } = await run(['compile', '--arch', arch, ...shape]);
      assert.equal(code, 2);
      assert.match(err, /--arch must be an architecture such as gfx942, gfx90a:sramecc\+:xnack- or sm_90 · found/);
    });
  }
});

describe('option tables', () => {
  const table = {
    size: { type: 'string', default: '3', description: 'How large.' },
    name: { type: 'string', placeholder: 'NAME', description: 'What it is called.' },
    loud: { type: 'boolean', description: 'Say more.' },
  } as const;

  it('give values and defaults', () => {
    assert.deepEqual(parseOptions(table, []), { size: '3', name: undefined, loud: false });
    assert.deepEqual(parseOptions(table, ['--name', 'x', '--loud', '--size=4']), { size: '4', name: 'x', loud: true });
  });

  it('give help with defaults', () => {
    assert.equal(
      describeOptions(table),
      '  --size VALUE  How large. (default: 3)\n  --name NAME   What it is called.\n  --loud        Say more.\n',
    );
  });

  it('hand a command its parsed values', async () => {
    const command = defineCommand({
      summary: '',
      options: table,
      run: async ({ size }) => integerOf('size', size, 1, 9),
    });
    const io = { out: () => undefined, err: () => undefined, signal: new AbortController().signal };
    assert.equal(await command.run(['--size', '7'], io), 7);
    await assert.rejects(command.run(['--size', '10'], io), UsageError);
  });

  it('read integers strictly', () => {
    assert.equal(integerOf('n', '12', 0), 12);
    for (const text of ['', ' ', '1.5', '-1', 'twelve', '1e99'])
      assert.throws(() => integerOf('n', text, 0), UsageError);
  });
});
