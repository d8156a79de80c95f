import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedCheckpointPath, openSafetensors, openSnapshot } from '@switchyard/models';
import type { GptOssLayerWeights, Snapshot, Tensor } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import fc from 'fast-check';
import type { LoadingStep } from '../../../src/runners/load-plan.ts';
import type { ExpertStep } from '../../../src/runners/ort/expert-block.ts';
import { Head } from '../../../src/runners/ort/head.ts';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';
import { SessionExperts } from '../../../src/runners/ort/session-experts.ts';
import { WeightReader } from '../../../src/runners/ort/weight-reader.ts';

const clock = { compute: 0, experts: 0, router: 0 };
const options = { threads: 1, clock };

describe('what makes large models load', () => {
  let snapshot: Snapshot;

  before(async () => {
    snapshot = await openSnapshot(embeddedCheckpointPath());
  });

  after(() => {
    snapshot.dispose();
  });

  const residual = (rows: number): Float32Array =>
    Float32Array.from({ length: rows * snapshot.config.hiddenSize }, (_, index) => Math.sin(index * 0.37) * 2);

  it('gives the same logits to the bit, in however many parts the LM head is', async () => {
    const { config, weights } = snapshot;
    const whole = new Head(config);
    await whole.load(weights, 'f32', options);
    // 4096 rows of the vocabulary: parts that end within a tile, one of a single row, and all equal.
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 100, max: 4095 }), fc.integer({ min: 1, max: 3 }), async (rows, tokens) => {
        const head = new Head(config);
        await head.load(weights, 'f32', options, rows * config.hiddenSize * 4);
        const input = residual(tokens);
        assert.deepEqual(await head.logits(input), await whole.logits(input));
        await head.release();
      }),
      { numRuns: 12 },
    );
    await whole.release();
  });

  it('gives logits of an LM head as 8-bit blocks that are near the exact ones, in parts to the same bits', async () => {
    const { config, weights } = snapshot;
    const [exact, whole, parts] = [new Head(config), new Head(config), new Head(config)];
    await exact.load(weights, 'f32', options);
    await whole.load(weights, 'blocks8', options);
    await parts.load(weights, 'blocks8', options, 1500 * config.hiddenSize);
    const input = residual(2);
    const found = await whole.logits(input);
    assert.deepEqual(await parts.logits(input), found);
    const expected = await exact.logits(input);
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expected.forEach((value, index) => {
      assert.ok(Math.abs(value - (found[index] as number)) < 0.02 * largest, `logit ${index}`);
    });
    await Promise.all([exact, whole, parts].map((head) => head.release()));
  });

  for (const form of ['blocks8', 'blocks4'] as const) {
    it(`gives the same results to the bit from experts in several sessions made from templates: ${form}`, async () => {
      const { config, weights } = snapshot;
      const layers = weights.layers.slice(0, 2) as [GptOssLayerWeights, GptOssLayerWeights];
      const whole = new SessionExperts(config, form);
      // Seven experts a session, and four in the last.
      const perExpert = 3 * config.hiddenSize * config.intermediateSize * (form === 'blocks8' ? 1.125 : 0.625);
      const divided = new SessionExperts(config, form, { mostSessionBytes: 7 * perExpert, leastTemplateBytes: 0 });
      for (const layer of layers) {
        await whole.addLayer(layer, options);
        await divided.addLayer(layer, options);
      }
      divided.endLoading();
      for (const layer of [0, 1]) {
        for (const tokens of [1, 5, 40]) {
          assert.deepEqual(await divided.mix(step(layer, tokens)), await whole.mix(step(layer, tokens)));
        }
      }
      await whole.release();
      await divided.release();
    });
  }

  it('loads experts without templates, and says so, where no temporary file can be written', async () => {
    const { config, weights } = snapshot;
    const layer = weights.layers[0] as GptOssLayerWeights;
    const told: string[] = [];
    const names = ['TMPDIR', 'TEMP', 'TMP'] as const;
    const before = names.map((name) => process.env[name]);
    const divided = new SessionExperts(config, 'blocks4', { mostSessionBytes: 2 ** 20, leastTemplateBytes: 0 });
    try {
      for (const name of names) process.env[name] = join(embeddedCheckpointPath(), 'nowhere');
      await divided.addLayer(layer, { ...options, logger: { info: (message) => told.push(message) } });
    } finally {
      names.forEach((name, index) => {
        const value = before[index];
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      });
    }
    divided.endLoading();
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /^Block scales will be held twice.* · found .*nowhere.* · set TMPDIR/);
    const whole = new SessionExperts(config, 'blocks4');
    await whole.addLayer(layer, options);
    assert.deepEqual(await divided.mix(step(0, 5)), await whole.mix(step(0, 5)));
    await whole.release();
    await divided.release();
  });

  function step(layer: number, tokens: number): ExpertStep {
    const { experts, expertsPerToken } = snapshot.config;
    const ids = Int32Array.from({ length: tokens * expertsPerToken }, (_, slot) => {
      const token = Math.floor(slot / expertsPerToken);
      return (token * 5 + (slot % expertsPerToken) * 3) % experts;
    });
    return {
      layer,
      phase: tokens === 1 ? 'decode' : 'prefill',
      input: residual(tokens),
      residual: residual(tokens),
      ids,
      weights: Float32Array.from(ids, (_, slot) => [0.4, 0.3, 0.2, 0.1][slot % 4] as number),
      plan: buildDispatchPlan(ids, experts),
    };
  }

  it('tells of the head first and then of every layer, in bytes and milliseconds that only grow', async () => {
    const steps: LoadingStep[] = [];
    const runner = await createOrtRunner({ snapshot, router: 'cpu', onProgress: (told) => steps.push(told) });
    await runner.dispose();
    const layers = Array.from({ length: snapshot.config.layers }, (_, layer) => `layer ${layer + 1} of 6`);
    assert.deepEqual([...new Set(steps.map(({ what }) => what))], ['head', ...layers]);
    steps.slice(1).forEach((told, index) => {
      const before = steps[index] as LoadingStep;
      for (const field of ['doneBytes', 'readMs', 'convertMs', 'sessionMs'] as const) {
        assert.ok(told[field] >= before[field], `${field} of step ${index}`);
      }
      assert.equal(told.totalBytes, before.totalBytes);
    });
    const last = steps.at(-1);
    assert.ok(last !== undefined && last.doneBytes === last.totalBytes && last.sessionMs > 0);
  });

  it('counts exactly the bytes that it reads', async () => {
    for (const expertPrecision of ['exact', 'int4'] as const) {
      const done: number[] = [];
      const runner = await createOrtRunner({
        snapshot,
        expertPrecision,
        router: 'cpu',
        onProgress: ({ doneBytes }) => done.push(doneBytes),
      });
      await runner.dispose();
      // The last step says that all is done; the one before it has come to the same by counting.
      assert.equal(done.at(-2), done.at(-1));
    }
  });

  it('ends a load wherever its listener throws, and leaves nothing that keeps it from loading again', async () => {
    let pieces = 0;
    const count = await createOrtRunner({
      snapshot,
      expertPrecision: 'int4',
      router: 'cpu',
      onProgress: () => pieces++,
    });
    await count.dispose();
    assert.ok(pieces > 100);
    for (const stop of [1, 2, 3, Math.floor(pieces / 2), pieces]) {
      let told = 0;
      const load = createOrtRunner({
        snapshot,
        expertPrecision: 'int4',
        router: 'cpu',
        onProgress: () => {
          told += 1;
          if (told === stop) throw new RangeError('stopped');
        },
      });
      await assert.rejects(load, /stopped/);
      assert.equal(told, stop);
    }
  });
});

describe("an LM head of gpt-oss-20b's size", () => {
  const [VOCABULARY, HIDDEN] = [201_088, 2880];
  /** Rows of the file that are not zero: the ends of the vocabulary and both sides of where 2^31 bytes of f32 end. */
  const MARKED = [0, 1, 100_543, 100_544, 186_413, 186_414, VOCABULARY - 1];
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-head-'));
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** A safetensors file with holes, so that writing it takes no time and no disk. */
  function writeHead(): string {
    const path = join(folder, 'head.safetensors');
    const bytes = VOCABULARY * HIDDEN * 2;
    const header = Buffer.from(
      JSON.stringify({ lm_head: { dtype: 'BF16', shape: [VOCABULARY, HIDDEN], data_offsets: [0, bytes] } }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const file = openSync(path, 'w');
    writeSync(file, Buffer.concat([length, header]), 0, header.length + 8, 0);
    const start = 8 + header.length;
    writeSync(file, Buffer.alloc(1), 0, 1, start + bytes - 1);
    MARKED.forEach((row, index) => {
      const values = Uint16Array.from({ length: HIDDEN }, (_, column) => bf16(markedWeight(index, column)));
      writeSync(file, new Uint8Array(values.buffer), 0, values.byteLength, start + row * HIDDEN * 2);
    });
    closeSync(file);
    return path;
  }

  /** Eighths, which bf16 holds exactly. */
  const markedWeight = (index: number, column: number): number => (((column * (index + 3)) % 17) - 8) / 8;
  const bf16 = (value: number): number => (new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0) >>> 16;

  it('loads, as 8-bit blocks and as f32 in parts below 2^31 bytes, and gives each token its own logit', async function () {
    this.timeout(120_000);
    using file = openSafetensors(writeHead());
    const lmHead = file.tensors.get('lm_head') as Tensor;
    const ones = new Float32Array(HIDDEN).fill(1);
    const finalNorm: Tensor = {
      name: 'norm',
      dtype: 'F32',
      shape: [HIDDEN],
      bytes: new Uint8Array(ones.buffer),
    };
    const input = Float32Array.from({ length: HIDDEN }, (_, column) => (column % 2 === 0 ? 1 : -1));
    const config = { vocabularySize: VOCABULARY, hiddenSize: HIDDEN, rmsNormEpsilon: 0 };
    for (const [form, bound] of [
      ['blocks8', 0.02],
      ['f32', 1e-4],
    ] as const) {
      const head = new Head(config);
      await head.load({ finalNorm, lmHead }, form, { ...options, reader: new WeightReader() });
      const logits = await head.logits(input);
      await head.release();
      assert.equal(logits.length, VOCABULARY);
      const found = new Map<number, number>();
      logits.forEach((value, token) => {
        if (value !== 0) found.set(token, value);
      });
      assert.deepEqual([...found.keys()], MARKED);
      MARKED.forEach((row, index) => {
        const expected = input.reduce((sum, value, column) => sum + value * markedWeight(index, column), 0);
        const size = input.reduce((sum, _, column) => sum + Math.abs(markedWeight(index, column)), 0);
        assert.ok(Math.abs((found.get(row) ?? 0) - expected) <= bound * Math.sqrt(size), `row ${row} as ${form}`);
      });
    }
  });
});
