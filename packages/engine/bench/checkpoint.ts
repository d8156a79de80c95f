/** Reading checkpoints with @switchyard/models: opening the embedded one, its tokenizer, and decoding MXFP4. */

import { decodeMxfp4, embeddedCheckpointPath, MXFP4_BLOCK, openSnapshot } from '@switchyard/models';
import type { Snapshot, Tokenizer } from '@switchyard/models';
import type { Benchmark } from '@switchyard/gpu/benchmark';
import { reference } from '../test/golden/reference.ts';

const TEXT = `The lighthouse keeper wrote 1,024 letters; none of them was answered before 1912.
  const answer = tokens.map((token) => decode(token)).join('');   // naïve, über, 北京, 🚢\n`;

/** An E2M1 code by the letter of the format: sign, two bits of exponent, one of mantissa. */
function e2m1(code: number): number {
  const [exponent, mantissa] = [(code >> 1) & 3, code & 1];
  const size = exponent === 0 ? mantissa / 2 : (1 + mantissa / 2) * 2 ** (exponent - 1);
  return code & 8 ? -size : size;
}

/** All of it. */
export async function benchmarkCheckpoint(benchmark: Benchmark, quick: boolean): Promise<void> {
  await benchmarkOpening(benchmark, quick);
  using snapshot = await openSnapshot(embeddedCheckpointPath());
  await benchmarkTokenizer(benchmark, snapshot.tokenizer, quick);
  await benchmarkMxfp4(benchmark, quick);
}

async function benchmarkOpening(benchmark: Benchmark, quick: boolean): Promise<void> {
  const check = await benchmark.check('open', "layers, bytes and a prompt's ids with the reference's", async () => {
    using snapshot = await openSnapshot(embeddedCheckpointPath());
    return openingProblems(snapshot);
  });
  const sample = async (): Promise<number> => {
    const start = performance.now();
    const snapshot = await openSnapshot(embeddedCheckpointPath());
    const elapsed = performance.now() - start;
    snapshot.dispose();
    return elapsed;
  };
  await benchmark.measure({
    name: 'open the embedded checkpoint',
    unit: 'ms',
    better: 'lower',
    rounds: quick ? 1 : 30,
    warmUpRounds: quick ? 0 : 3,
    contenders: [{ name: 'models', check, sample }],
  });
}

function openingProblems({ config, weights, tokenizer, tensorBytes }: Snapshot): string[] {
  const problems: string[] = [];
  if (weights.layers.length !== config.layers) problems.push(`${weights.layers.length} layers of ${config.layers}`);
  if (tensorBytes < 1e7) problems.push(`${tensorBytes} bytes of tensors`);
  for (const { text, ids } of reference) {
    if (tokenizer.encodeWithSpecialTokens(text).join() !== ids.join())
      problems.push(`the ids of '${text.slice(0, 20)}'`);
  }
  return problems;
}

async function benchmarkTokenizer(benchmark: Benchmark, tokenizer: Tokenizer, quick: boolean): Promise<void> {
  const text = TEXT.repeat(quick ? 2 : 400);
  const bytes = Buffer.byteLength(text);
  const ids = tokenizer.encode(text);
  const check = await benchmark.check('tokenizer', 'the decoded ids with the text', () =>
    tokenizer.decode(ids) === text ? [] : ['the decoded ids are another text'],
  );
  const megabytesPerSecond = (work: () => unknown) => (): number => {
    const start = performance.now();
    work();
    return bytes / ((performance.now() - start) * 1000);
  };
  for (const [name, work] of [
    ['encode text', () => tokenizer.encode(text)],
    ['decode ids', () => tokenizer.decode(ids)],
  ] as const) {
    await benchmark.measure({
      name,
      unit: 'MB/s',
      better: 'higher',
      parameters: { bytes, tokens: ids.length },
      rounds: quick ? 2 : 20,
      warmUpRounds: 3,
      contenders: [{ name: 'models', check, sample: megabytesPerSecond(work) }],
    });
  }
}

/** MXFP4 blocks to f32. */
async function benchmarkMxfp4(benchmark: Benchmark, quick: boolean): Promise<void> {
  const count = quick ? 64 : 2 ** 16;
  const blocks = Uint8Array.from(
    { length: (count * MXFP4_BLOCK) / 2 },
    (_, index) => Math.imul(index, 0x9e3779b1) >>> 24,
  );
  const scales = Uint8Array.from({ length: count }, (_, index) => 100 + (index % 40));
  const values = new Float32Array(count * MXFP4_BLOCK);
  const expected = (index: number): number => {
    const byte = blocks[index >> 1] ?? 0;
    return e2m1(index % 2 === 0 ? byte & 15 : byte >> 4) * 2 ** ((scales[Math.floor(index / MXFP4_BLOCK)] ?? 0) - 127);
  };
  const what = 'every value with the format, computed code by code';
  const check = (name: string, valueAt: (index: number) => number): ReturnType<Benchmark['check']> =>
    benchmark.check(name, what, () => {
      const wrong = values.findIndex((_, index) => valueAt(index) !== expected(index));
      return wrong === -1 ? [] : [`value ${wrong} is ${valueAt(wrong)} where ${expected(wrong)} is due`];
    });
  decodeMxfp4(blocks, scales, values);
  const sample = (work: () => unknown) => (): number => {
    const start = performance.now();
    work();
    return values.length / ((performance.now() - start) * 1e6);
  };
  await benchmark.measure({
    name: 'decode MXFP4',
    unit: '10^9 weights/s',
    better: 'higher',
    parameters: { weights: values.length },
    rounds: quick ? 2 : 30,
    warmUpRounds: 3,
    contenders: [
      {
        name: 'to f32',
        check: await check('decodeMxfp4', (index) => values[index] ?? Number.NaN),
        sample: sample(() => decodeMxfp4(blocks, scales, values)),
      },
    ],
  });
}
