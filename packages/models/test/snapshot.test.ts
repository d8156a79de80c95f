import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DisposedError,
  FileNotReadableError,
  InvalidConfigError,
  InvalidJsonError,
  InvalidShardIndexError,
  InvalidTokenizerError,
  MissingShardError,
  MissingTensorsError,
  TensorMismatchError,
  UnexpectedTensorsError,
} from '../src/errors.ts';
import { gptOssTensorTable } from '../src/gpt-oss/tensors.ts';
import { decodeMxfp4, mxfp4Expert } from '../src/tensors/mxfp4.ts';
import { embeddedCheckpointPath, openSnapshot, type Snapshot } from '../src/snapshot.ts';
import type { Tensor } from '../src/tensors/tensor.ts';
import { allTensors } from './fixtures/all-tensors.ts';
import {
  type CheckpointChanges,
  type SyntheticCheckpoint,
  writeSyntheticCheckpoint,
} from './fixtures/synthetic-checkpoint.ts';
import { withTemporaryFolder } from './fixtures/temporary-folder.ts';

const HUGGING_FACE: SyntheticCheckpoint = { layout: 'huggingface', expertFormat: 'mxfp4' };

/** What openSnapshot throws for a checkpoint, which it must. */
async function failureOf(folder: string): Promise<unknown> {
  return openSnapshot(folder).then(
    (snapshot) => {
      snapshot.dispose();
      return assert.fail(`opened ${snapshot.path}`);
    },
    (error: unknown) => error,
  );
}

async function failureWith(changes: CheckpointChanges, kind: SyntheticCheckpoint = HUGGING_FACE): Promise<unknown> {
  return withTemporaryFolder((folder) => {
    writeSyntheticCheckpoint(folder, kind, changes);
    return failureOf(folder);
  });
}

/** What failed after files of a good checkpoint of two shards were changed. */
async function failureAfter(change: (folder: string) => void): Promise<unknown> {
  return withTemporaryFolder((folder) => {
    writeSyntheticCheckpoint(folder, { ...HUGGING_FACE, shards: 2 });
    change(folder);
    return failureOf(folder);
  });
}

describe('the embedded checkpoint', () => {
  let snapshot: Snapshot;
  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());

  it('is the default and is what its index says', () => {
    assert.equal(snapshot.path, embeddedCheckpointPath());
    assert.equal(snapshot.layout, 'huggingface');
    const index = JSON.parse(readFileSync(join(snapshot.path, 'model.safetensors.index.json'), 'utf8')) as {
      metadata: { total_size: number };
    };
    assert.equal(snapshot.tensorBytes, index.metadata.total_size);
    assert.equal(snapshot.tokenizer.vocabularySize, snapshot.config.vocabularySize);
  });

  it('has every tensor of its configuration, with bytes to match', () => {
    const tensors = allTensors(snapshot.weights);
    assert.equal(tensors.length, gptOssTensorTable(snapshot.config, 'huggingface').length);
    assert.equal(
      tensors.reduce((sum, { bytes }) => sum + bytes.length, 0),
      snapshot.tensorBytes,
    );
  });

  it('decodes to finite experts', () => {
    const [layer] = snapshot.weights.layers;
    assert.ok(layer?.gateUp.weight.kind === 'mxfp4');
    const { blocks, scales } = mxfp4Expert(layer.gateUp.weight, 31);
    const values = decodeMxfp4(blocks, scales);
    assert.equal(values.length, 256 * 256);
    assert.ok(values.every(Number.isFinite));
    assert.ok(values.some((value) => value !== 0));
  });

  it('has a chat template and stop tokens', () => {
    assert.match(snapshot.chatTemplate ?? '', /<\|start\|>/);
    const { specialTokens } = snapshot.tokenizer;
    for (const text of ['<|return|>', '<|call|>']) {
      assert.ok(snapshot.generation.eosTokenIds.includes(specialTokens.get(text) ?? -1), text);
    }
  });
});

describe('openSnapshot', () => {
  for (const layout of ['huggingface', 'original'] as const) {
    for (const expertFormat of ['mxfp4', 'bf16'] as const) {
      for (const shards of [1, 3]) {
        it(`opens ${layout} with ${expertFormat} experts in ${shards} file(s)`, async () => {
          await withTemporaryFolder(async (folder) => {
            writeSyntheticCheckpoint(folder, { layout, expertFormat, shards });
            using mapped = await openSnapshot(folder);
            using read = await openSnapshot(folder, { map: null });
            assert.equal(mapped.layout, layout);
            assert.equal(mapped.config.expertFormat, expertFormat);
            assert.equal(mapped.chatTemplate, null);
            const tensors = allTensors(mapped.weights);
            assert.equal(
              tensors.reduce((sum, { bytes }) => sum + bytes.length, 0),
              mapped.tensorBytes,
            );
            assert.deepEqual(tensors.map(plain), allTensors(read.weights).map(plain));
            const [layer] = mapped.weights.layers;
            assert.ok(layer);
            assert.equal(layer.gateUp.weight.kind, expertFormat);
            assert.deepEqual(layer.gateUp.weight.shape, [4, 64, 64]);
            assert.deepEqual(layer.down.weight.shape, [4, 64, 32]);
            assert.deepEqual(layer.query.weight.shape, [64, 64]);
            assert.deepEqual(layer.value.bias.shape, [32]);
            if (layer.down.weight.kind === 'bf16') {
              assert.equal(layer.down.weight.transposed, layout === 'huggingface');
            }
          });
        });
      }
    }
  }

  it('splits the fused projection of the original layout into query, key and value rows', async () => {
    await withTemporaryFolder(async (folder) => {
      const rows = Uint8Array.from({ length: 128 * 64 * 2 }, (_, i) => Math.floor(i / 128));
      writeSyntheticCheckpoint(
        folder,
        { layout: 'original', expertFormat: 'mxfp4' },
        {
          tensors: (tensors) =>
            tensors.set('block.1.attn.qkv.weight', { dtype: 'BF16', shape: [128, 64], bytes: rows }),
        },
      );
      using snapshot = await openSnapshot(folder);
      const layer = snapshot.weights.layers[1];
      assert.ok(layer);
      assert.deepEqual(rowsFirstAndLast(layer.query.weight), [64, 0, 63]);
      assert.deepEqual(rowsFirstAndLast(layer.key.weight), [32, 64, 95]);
      assert.deepEqual(rowsFirstAndLast(layer.value.weight), [32, 96, 127]);
    });
  });

  it('finds the tokenizer of an original/ folder in the folder above', async () => {
    await withTemporaryFolder(async (folder) => {
      const own = join(folder, 'original');
      writeSyntheticCheckpoint(own, { layout: 'original', expertFormat: 'mxfp4' });
      renameSync(join(own, 'tokenizer.json'), join(folder, 'tokenizer.json'));
      using snapshot = await openSnapshot(own);
      assert.equal(snapshot.tokenizer.vocabularySize, 268);
    });
  });

  it('opens shards of an original/ folder that has no index', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, { layout: 'original', expertFormat: 'mxfp4', shards: 2 });
      unlinkSync(join(folder, 'model.safetensors.index.json'));
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.layers.length, 2);
    });
  });

  it('gives the embedding for the head where they are tied', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, HUGGING_FACE, {
        config: (config) => (config['tie_word_embeddings'] = true),
        tensors: (tensors) => tensors.delete('lm_head.weight'),
      });
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.weights.lmHead, snapshot.weights.embedding);
    });
  });

  it('takes the chat template of tokenizer_config.json where there is no file of its own', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, HUGGING_FACE);
      writeFileSync(join(folder, 'tokenizer_config.json'), '{"chat_template":"{{ messages }}"}');
      using snapshot = await openSnapshot(folder);
      assert.equal(snapshot.chatTemplate, '{{ messages }}');
    });
  });

  it('refuses use after dispose()', async () => {
    const snapshot = await openSnapshot();
    const { embedding } = snapshot.weights;
    snapshot.dispose();
    snapshot.dispose();
    assert.throws(() => embedding.bytes, DisposedError);
    assert.throws(() => snapshot.tokenizer.encode('a'), DisposedError);
  });
});

describe('openSnapshot refuses', () => {
  it('a folder that is not there, or is a file, or is empty', async () => {
    await withTemporaryFolder(async (folder) => {
      assert.ok((await failureOf(join(folder, 'nothing'))) instanceof FileNotReadableError);
      assert.ok((await failureOf(folder)) instanceof FileNotReadableError);
      const file = join(folder, 'file');
      writeFileSync(file, '');
      assert.ok((await failureOf(file)) instanceof FileNotReadableError);
    });
  });

  it('a folder without weights', async () => {
    const error = await failureAfter((folder) => {
      for (const name of ['model-00001-of-00002', 'model-00002-of-00002']) rmSync(join(folder, `${name}.safetensors`));
      rmSync(join(folder, 'model.safetensors.index.json'));
    });
    assert.ok(error instanceof FileNotReadableError);
  });

  it('a missing shard, by name', async () => {
    const error = await failureAfter((folder) => unlinkSync(join(folder, 'model-00002-of-00002.safetensors')));
    assert.ok(error instanceof MissingShardError);
    assert.equal(error.shard, 'model-00002-of-00002.safetensors');
  });

  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors.index.json']) {
    it(`a ${name} that is cut short`, async () => {
      const error = await failureAfter((folder) => {
        const path = join(folder, name);
        writeFileSync(path, readFileSync(path).subarray(0, -2));
      });
      assert.ok(error instanceof InvalidJsonError);
      assert.match(error.message, new RegExp(name));
    });
  }

  const indexes: readonly [string, unknown][] = [
    ['without weight_map', {}],
    ['with an empty weight_map', { weight_map: {} }],
    ['that reaches out of the folder', { weight_map: { a: '../model.safetensors' } }],
    ['with a number for a file', { weight_map: { a: 1 } }],
  ];
  for (const [what, index] of indexes) {
    it(`an index ${what}`, async () => {
      const error = await failureAfter((folder) =>
        writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index)),
      );
      assert.ok(error instanceof InvalidShardIndexError, String(error));
    });
  }

  it('one tensor in two files', async () => {
    await withTemporaryFolder(async (folder) => {
      writeSyntheticCheckpoint(folder, { layout: 'original', expertFormat: 'mxfp4' });
      renameSync(join(folder, 'model.safetensors'), join(folder, 'a.safetensors'));
      copyFileSync(join(folder, 'a.safetensors'), join(folder, 'b.safetensors'));
      assert.ok((await failureOf(folder)) instanceof InvalidShardIndexError);
    });
  });

  it('missing tensors, each by name', async () => {
    const error = await failureWith({
      tensors: (tensors) => {
        tensors.delete('model.layers.1.self_attn.sinks');
        tensors.delete('model.norm.weight');
      },
    });
    assert.ok(error instanceof MissingTensorsError);
    assert.deepEqual(error.tensors, ['model.layers.1.self_attn.sinks', 'model.norm.weight']);
  });

  it('tensors of another model', async () => {
    const error = await failureWith({
      tensors: (tensors) => tensors.set('lora.A', { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) }),
    });
    assert.ok(error instanceof UnexpectedTensorsError);
    assert.deepEqual(error.tensors, ['lora.A']);
  });

  it('another shape, with the expected one', async () => {
    const error = await failureWith({
      tensors: (tensors) => tensors.set('model.norm.weight', { dtype: 'BF16', shape: [32], bytes: new Uint8Array(64) }),
    });
    assert.ok(error instanceof TensorMismatchError);
    assert.deepEqual(error.expected, { dtype: 'BF16', shape: [64] });
    assert.deepEqual(error.found, { dtype: 'BF16', shape: [32] });
    assert.match(error.message, /model\.norm\.weight as BF16 \[32\].*calls for BF16 \[64\]/);
  });

  it('a dtype that is none of floats, with those that are', async () => {
    const error = await failureWith({
      tensors: (tensors) => tensors.set('model.norm.weight', { dtype: 'I16', shape: [64], bytes: new Uint8Array(128) }),
    });
    assert.ok(error instanceof TensorMismatchError);
    assert.match(error.message, /calls for BF16 \[64\] or F16 \[64\] or F32 \[64\] · save the tensor with/);
  });

  it('experts of neither format, as the configuration calls for them', async () => {
    for (const [quantization, suffix] of [
      [{ quant_method: 'mxfp4' }, '_blocks'],
      [null, ''],
    ] as const) {
      const error = await failureWith({
        config: (config) => (config['quantization_config'] = quantization),
        tensors: (tensors) => {
          for (const name of tensors.keys()) if (name.includes('gate_up_proj')) tensors.delete(name);
        },
      });
      assert.ok(error instanceof MissingTensorsError);
      assert.ok(error.tensors.includes(`model.layers.0.mlp.experts.gate_up_proj${suffix}`));
    }
  });

  it('MXFP4 experts whose rows are no whole blocks', async () => {
    const error = await failureWith({ config: (config) => (config['intermediate_size'] = 48) });
    assert.ok(error instanceof InvalidConfigError);
    assert.equal(error.field, 'intermediate_size');
  });

  it('a tokenizer with more tokens than the model has', async () => {
    const error = await failureWith({
      tokenizer: (tokenizer) => {
        const added = Array.from({ length: 20 }, (_, i) => ({ id: 259 + i, content: `<|${i}|>` }));
        tokenizer['added_tokens'] = added;
      },
    });
    assert.ok(error instanceof InvalidTokenizerError);
    assert.match(error.message, /279 tokens, the model has 272/);
  });
});

function plain({ name, dtype, shape, bytes }: Tensor): unknown {
  return { name, dtype, shape, bytes: Buffer.from(bytes).toString('base64') };
}

/** For rows of 128 bytes: how many there are, the first byte and the last one. */
function rowsFirstAndLast({ bytes }: Tensor): unknown[] {
  return [bytes.length / 128, bytes[0], bytes.at(-1)];
}
