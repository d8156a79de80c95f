import assert from 'node:assert/strict';
import { readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { ForeignFileError, InvalidShardIndexError, MissingTensorsError, ModelsError } from '../src/errors.ts';
import { openSnapshot, type Snapshot } from '../src/snapshot.ts';
import { readFloats } from '../src/tensors/floats.ts';
import { decodeBf16, decodeF16 } from '../src/tensors/half-precision.ts';
import type { Tensor } from '../src/tensors/tensor.ts';
import { allTensors } from './fixtures/all-tensors.ts';
import { type SyntheticCheckpoint, writeSyntheticCheckpoint } from './fixtures/synthetic-checkpoint.ts';
import { withTemporaryFolder } from './fixtures/temporary-folder.ts';
import { safetensorsBytes, type TensorData } from './fixtures/write-safetensors.ts';

const HUGGING_FACE: SyntheticCheckpoint = { layout: 'huggingface', expertFormat: 'mxfp4' };
const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

const plain = (snapshot: Snapshot): unknown =>
  allTensors(snapshot.weights).map(({ name, dtype, shape, bytes }) => [
    name,
    dtype,
    shape,
    Buffer.from(bytes).toString('base64'),
  ]);

describe('tensors of floats', () => {
  const decoders = {
    BF16: (bytes: Uint8Array) => decodeBf16(bytes),
    F16: (bytes: Uint8Array) => decodeF16(bytes),
    F32: (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer),
  };
  const dtypes = ['BF16', 'F16', 'F32'] as const;

  for (const layout of ['huggingface', 'original'] as const) {
    for (const expertFormat of ['mxfp4', 'bf16'] as const) {
      it(`may each be bf16, f16 or f32: ${layout}, experts as ${expertFormat}`, async () => {
        await fc.assert(
          fc.asyncProperty(fc.infiniteStream(fc.constantFrom(...dtypes)), fc.nat(255), async (choices, seed) => {
            await withTemporaryFolder(async (folder) => {
              const expected = new Map<string, Float32Array>();
              writeSyntheticCheckpoint(
                folder,
                { layout, expertFormat },
                {
                  tensors: (tensors) => {
                    for (const [name, { dtype: published, shape }] of tensors) {
                      if (published !== 'BF16') continue;
                      const dtype: (typeof dtypes)[number] = choices.next().value ?? 'BF16';
                      const width = dtype === 'F32' ? 4 : 2;
                      const length = shape.reduce((product, size) => product * size, width);
                      // The upper bits are kept from infinities and NaN.
                      const bytes = Uint8Array.from({ length }, (_, i) =>
                        i % width === width - 1 ? 0x30 : (i * 37 + seed) % 256,
                      );
                      tensors.set(name, { dtype, shape, bytes });
                      expected.set(name, decoders[dtype](bytes));
                    }
                  },
                },
              );
              using snapshot = await openSnapshot(folder);
              let compared = 0;
              for (const tensor of allTensors(snapshot.weights)) {
                const values = expected.get(tensor.name);
                if (values === undefined) continue;
                compared += 1;
                assert.deepEqual(readFloats(tensor), values);
                assert.deepEqual(readFloats(tensor, 1, 2), values.slice(1, 3));
              }
              // The fused projections of the original layout come out as their rows.
              assert.equal(compared, expected.size - (layout === 'original' ? 2 * snapshot.config.layers : 0));
            });
          }),
          { numRuns: 8 },
        );
      });
    }
  }

  it('of the fused projections are cut by rows whatever their dtype', async () => {
    await withTemporaryFolder(async (folder) => {
      const values = Float32Array.from({ length: 128 * 64 }, (_, i) => Math.floor(i / 64));
      writeSyntheticCheckpoint(
        folder,
        { layout: 'original', expertFormat: 'mxfp4' },
        {
          tensors: (tensors) =>
            tensors.set('block.0.attn.qkv.weight', {
              dtype: 'F32',
              shape: [128, 64],
              bytes: new Uint8Array(values.buffer),
            }),
        },
      );
      using snapshot = await openSnapshot(folder);
      const [layer] = snapshot.weights.layers;
      assert.ok(layer);
      const firstAndLast = (tensor: Tensor): unknown => [readFloats(tensor)[0], readFloats(tensor).at(-1)];
      assert.deepEqual(
        [layer.query, layer.key, layer.value].map(({ weight }) => firstAndLast(weight)),
        [
          [0, 63],
          [64, 95],
          [96, 127],
        ],
      );
    });
  });
});

describe('tensors of MXFP4', () => {
  for (const layout of ['huggingface', 'original'] as const) {
    it(`may have their own dtypes, and are read as the published ones: ${layout}`, async () => {
      await withTemporaryFolder(async (folder) => {
        const [published, named] = [join(folder, 'published'), join(folder, 'named')];
        writeSyntheticCheckpoint(published, { layout, expertFormat: 'mxfp4' });
        writeSyntheticCheckpoint(
          named,
          { layout, expertFormat: 'mxfp4' },
          {
            tensors: (tensors) => {
              for (const [name, tensor] of tensors) {
                if (/[_.]scales$/.test(name)) tensors.set(name, { ...tensor, dtype: 'F8_E8M0' });
                if (/[_.]blocks$/.test(name))
                  tensors.set(name, { ...tensor, dtype: 'F4', shape: [...tensor.shape.slice(0, 3), 32] });
              }
            },
          },
        );
        using one = await openSnapshot(published);
        using other = await openSnapshot(named);
        using read = await openSnapshot(named, { map: null });
        assert.deepEqual(plain(other), plain(one));
        assert.deepEqual(plain(read), plain(one));
      });
    });
  }

  const kinds = [
    ['quantization_config', { quant_method: 'mxfp4', dequantize: true }, 'bf16'],
    ['quantization_config', { quant_method: 'mxfp4', modules_to_not_convert: ['lm_head'] }, 'bf16'],
    ['quantization_config', undefined, 'mxfp4'],
    ['quantization_config', { quant_method: 'mxfp4', dequantize: true }, 'mxfp4'],
  ] as const;
  for (const [field, value, expertFormat] of kinds) {
    it(`or floats are what the tensors say: ${expertFormat} beside ${JSON.stringify(value) ?? 'nothing'}`, async () => {
      await withTemporaryFolder(async (folder) => {
        writeSyntheticCheckpoint(
          folder,
          { layout: 'huggingface', expertFormat },
          {
            config: (config) => (config[field] = value),
          },
        );
        using snapshot = await openSnapshot(folder);
        assert.equal(snapshot.config.expertFormat, expertFormat);
        assert.ok(snapshot.weights.layers.every(({ gateUp }) => gateUp.weight.kind === expertFormat));
      });
    });
  }
});

describe('tensors that every loader computes itself', () => {
  it('may lie beside the others, and nobody reads them', async () => {
    await withTemporaryFolder(async (folder) => {
      const [plainFolder, folderWithMore] = [join(folder, 'plain'), join(folder, 'more')];
      writeSyntheticCheckpoint(plainFolder, HUGGING_FACE);
      writeSyntheticCheckpoint(folderWithMore, HUGGING_FACE, {
        tensors: (tensors) => {
          const computed: TensorData = { dtype: 'F32', shape: [8], bytes: new Uint8Array(32) };
          for (const name of ['model.rotary_emb.inv_freq', 'model.layers.1.self_attn.rotary_emb.inv_freq']) {
            tensors.set(name, computed);
          }
        },
      });
      using one = await openSnapshot(plainFolder);
      using other = await openSnapshot(folderWithMore);
      assert.deepEqual(plain(other), plain(one));
    });
  });
});

describe('an index', () => {
  /** What lies beside all tensors in one file. */
  const stale: readonly [string, unknown][] = [
    ['of shards that are gone', { weight_map: { 'model.norm.weight': 'model-00001-of-00002.safetensors' } }],
    [
      'of another model',
      { weight_map: { 'model.layers.9.input_layernorm.weight': 'model-00009-of-00009.safetensors' } },
    ],
    ['of nothing', { weight_map: {} }],
    ['that reaches out of the folder', { weight_map: { a: '../x.safetensors' } }],
    ['that is no object', []],
    ['of the one file', { weight_map: { 'model.norm.weight': SINGLE } }],
  ];
  for (const [what, index] of stale) {
    it(`is not needed beside model.safetensors: one ${what}`, async () => {
      await withTemporaryFolder(async (folder) => {
        writeSyntheticCheckpoint(folder, HUGGING_FACE);
        using before = await openSnapshot(folder);
        writeFileSync(join(folder, INDEX), JSON.stringify(index));
        using after = await openSnapshot(folder);
        assert.deepEqual(plain(after), plain(before));
      });
    });
  }

  it('is not needed beside model.safetensors: one that is no JSON', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, HUGGING_FACE);
      writeFileSync(join(folder, INDEX), '{"weight_map"');
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.layers.length, 2);
    });
  });

  it('that counts model.safetensors among several shards is followed', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, { ...HUGGING_FACE, shards: 2 });
      renameSync(join(folder, 'model-00001-of-00002.safetensors'), join(folder, SINGLE));
      const path = join(folder, INDEX);
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll('model-00001-of-00002.safetensors', SINGLE));
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.layers.length, 2);
    });
  });

  it('is a list of files: which tensors they have, they say themselves', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, { ...HUGGING_FACE, shards: 2 });
      const path = join(folder, INDEX);
      const { weight_map: map } = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> };
      const [one, other] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
      delete map['model.norm.weight'];
      map['lm_head.weight'] = map['lm_head.weight'] === one ? other : one;
      map['a tensor of an older model'] = one;
      writeFileSync(path, JSON.stringify({ weight_map: map }));
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.layers.length, 2);
    });
  });

  it('does not make up for tensors that no file has', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(
        folder,
        { ...HUGGING_FACE, shards: 2 },
        { tensors: (tensors) => tensors.delete('model.norm.weight') },
      );
      await assert.rejects(openSnapshot(folder), (error: unknown) => {
        assert.ok(error instanceof MissingTensorsError);
        assert.deepEqual(error.tensors, ['model.norm.weight']);
        return true;
      });
      unlinkSync(join(folder, 'model-00002-of-00002.safetensors'));
      await assert.rejects(openSnapshot(folder), { code: 'MISSING_SHARD' });
      writeFileSync(join(folder, INDEX), '{"weight_map":{}}');
      await assert.rejects(openSnapshot(folder), InvalidShardIndexError);
    });
  });
});

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const GGUF = Buffer.concat([latin('GGUF\x03\x00\x00\x00\x7b\x00\x00\x00\x00\x00\x00\x00'), Buffer.alloc(600)]);
const LFS = latin('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 27868174\n');

/** Bytes of other kinds of files, what they are said to be, and whether JSON may be as well. */
const FOREIGN: readonly [Uint8Array, RegExp][] = [
  [LFS, /a pointer of Git LFS.*run `git lfs pull`/],
  [latin('# xet version 0\nfilesize = 7\n'), /a pointer of Xet/],
  [GGUF, /a GGUF model/],
  [Buffer.concat([latin('tjgg'), Buffer.alloc(40, 7)]), /ggml/],
  [Buffer.concat([latin('PK\x03\x04\x00\x00\x08\x08'), Buffer.alloc(90, 1)]), /a zip archive, as PyTorch/],
  [Buffer.concat([latin('PK\x03\x04\x00\x00\x00\x00'), Buffer.alloc(90)]), /a zip archive/],
  [latin('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'), /a pickle/],
  [gzipSync('x'.repeat(99)), /a gzip archive/],
  [latin('\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x00'), /a Zstandard archive/],
  [latin('\xfd7zXZ\x00\x00\x04'), /an xz archive/],
  [Buffer.concat([Buffer.alloc(257, 97), latin('ustar\x0000'), Buffer.alloc(300)]), /a tar archive/],
  [latin('\x89HDF\r\n\x1a\n\x00\x00\x00\x00'), /an HDF5 file/],
  [latin('\x93NUMPY\x01\x00v\x00{}'), /a NumPy array/],
  [latin('<!doctype html><html><body>Sign in</body></html>'), /a web page/],
  [latin('\n<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), /a web page/],
];
/** What no JSON file is said to be. */
const FOREIGN_WEIGHTS: readonly [Uint8Array, RegExp][] = [
  [Buffer.alloc(4096), /zeros, as a download that did not end/],
  [latin('{"error":"Repository not found"}'), /a text, which begins with "\{\\"error/],
  [latin('Entry not found'), /a text, which begins with "Entry not found"/],
];

async function refusal(folder: string, name: string, bytes: Uint8Array): Promise<ForeignFileError> {
  const path = join(folder, name);
  const sound = readFileSync(path);
  try {
    writeFileSync(path, bytes);
    const error: unknown = await openSnapshot(folder).then(
      (snapshot) => {
        snapshot.dispose();
        return null;
      },
      (cause: unknown) => cause,
    );
    assert.ok(error instanceof ForeignFileError, String(error));
    assert.equal(error.path, path);
    return error;
  } finally {
    writeFileSync(path, sound);
  }
}

describe('a file that is something else than its name says', () => {
  for (const [bytes, message] of [...FOREIGN, ...FOREIGN_WEIGHTS]) {
    it(`is named, as weights: ${message.source}`, async () => {
      await withTemporaryFolder(async (folder) => {
        writeSyntheticCheckpoint(folder, { ...HUGGING_FACE, shards: 2 });
        assert.match((await refusal(folder, 'model-00002-of-00002.safetensors', bytes)).message, message);
        const single = join(folder, 'single');
        writeSyntheticCheckpoint(single, HUGGING_FACE);
        assert.match((await refusal(single, SINGLE, bytes)).message, message);
      });
    });
  }

  it('is named, as JSON', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, { ...HUGGING_FACE, shards: 2 });
      writeFileSync(join(folder, 'generation_config.json'), '{}');
      const weights: [Uint8Array, RegExp] = [safetensorsBytes('{}'), /it is a safetensors file/];
      for (const name of ['config.json', 'tokenizer.json', INDEX, 'generation_config.json']) {
        for (const [bytes, message] of [...FOREIGN, weights]) {
          assert.match((await refusal(folder, name, bytes)).message, message);
        }
      }
    });
  });

  it('is looked for in a folder without safetensors files', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, HUGGING_FACE);
      renameSync(join(folder, SINGLE), join(folder, 'pytorch_model.bin'));
      await assert.rejects(openSnapshot(folder), {
        code: 'FILE_NOT_READABLE',
        message: /weights as in pytorch_model\.bin are not read/,
      });
    });
  });

  it('is no safetensors file whose tensors only spell a signature', async () => {
    await withTemporaryFolder(async (folder) => {
      const norm: TensorData = { dtype: 'BF16', shape: [64], bytes: Buffer.concat([GGUF, LFS]).subarray(0, 128) };
      writeSyntheticCheckpoint(folder, HUGGING_FACE, { tensors: (tensors) => tensors.set('model.norm.weight', norm) });
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.finalNorm.bytes[0], 0x47);
    });
  });

  it('gives a typed error whatever its bytes are', async () => {
    const head = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      fc
        .tuple(fc.constantFrom(...FOREIGN, ...FOREIGN_WEIGHTS), fc.nat(64), fc.uint8Array({ maxLength: 40 }))
        .map(([[bytes], cut, tail]) => Buffer.concat([bytes.subarray(0, cut), tail])),
      fc
        .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.json(), fc.uint8Array({ maxLength: 40 }))
        .map(([length, json, tail]) => {
          const bytes = safetensorsBytes(json, tail);
          if (length % 2n === 0n) new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, length, true);
          return bytes;
        }),
    );
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, HUGGING_FACE);
      await fc.assert(
        fc.asyncProperty(head, fc.constantFrom(SINGLE, 'config.json', 'tokenizer.json'), async (bytes, name) => {
          const path = join(folder, name);
          const sound = readFileSync(path);
          writeFileSync(path, bytes);
          try {
            await assert.rejects(openSnapshot(folder), ModelsError);
          } finally {
            writeFileSync(path, sound);
          }
        }),
        { numRuns: 400 },
      );
    });
  });
});
