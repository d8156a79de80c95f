import assert from 'node:assert/strict';
import { KernelEmulator, poison } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { denseBlocks, denseForms } from '../../../src/runners/hip/dense-kernels.ts';
import { splitForms, termBlocks, termForms, termTiles } from '../../../src/runners/hip/dense-terms.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { NVIDIA_TARGET } from './emulated-runner.ts';
import { guarded, outputOf, stepOf } from './kernel-cases.ts';
import { KvCache } from './kv-cache.ts';
import { SMALL_CONFIG, asBf16, contextFor, randomFloats, runForm } from './small-model.ts';

const { hiddenSize, attentionHeads, keyValueHeads, headDim, vocabularySize } = SMALL_CONFIG;
const QKV = (attentionHeads + 2 * keyValueHeads) * headDim;
/** Tiles whose results those of terms are held against. */
const OTHER_TILE = 16;

const bitsOf = (values: Float32Array | Uint16Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

describe('dense products of rows in two terms, emulated', function () {
  this.timeout(600_000);
  const context = contextFor(NVIDIA_TARGET);
  let emulator: KernelEmulator;
  before(function () {
    skipWithoutHostCompiler.call(this);
    emulator = new KernelEmulator(NVIDIA_TARGET);
  });
  after(() => emulator?.dispose());

  /** Rows in two terms, in memory for whole tiles that nobody else wrote to. */
  const split = (
    name: 'ofStep' | 'ofWanted',
    rows: number,
    values: { readonly step: Int32Array; readonly gain: Float32Array; readonly rows: Float32Array },
  ) => {
    const terms = poison(new Float32Array((rows + 64) * hiddenSize));
    const squares = poison(new Float32Array(rows + 64));
    // One block more than there are rows: it has to find nothing to do.
    runForm(emulator, splitForms(context)[name], rows + 1, { ...values, terms, squares, first: 0 });
    return { terms, squares };
  };

  for (const tile of termTiles(context)) {
    const rows = tile + 3;

    it(`norm and head, ${rows} rows in tiles of ${tile}: the bits of other tiles`, () => {
      // Of one row no logits are wanted.
      const step = stepOf(rows, (_, index) => ({ wanted: index === 1 ? 'nothing' : 'logits' }));
      const residual = randomFloats(rows * hiddenSize, 20, 2);
      const gain = randomFloats(hiddenSize, 21);
      const weight = asBf16(randomFloats(vocabularySize * hiddenSize, 22)).bits;
      const wanted = rows - 1;
      const common = { step, weight, first: 0, most: 128 };
      const expected = outputOf(wanted * vocabularySize);
      const tiles = Math.ceil(wanted / OTHER_TILE);
      runForm(emulator, denseForms(context, OTHER_TILE).head, denseBlocks(context, 'head', OTHER_TILE, tiles), {
        ...common,
        gain,
        residual,
        logits: expected,
        tiles,
      });
      const found = outputOf(wanted * vocabularySize);
      const own = Math.ceil(wanted / tile);
      runForm(emulator, termForms(context, tile).head, termBlocks(context, 'head', tile, own), {
        ...common,
        ...split('ofWanted', wanted, { step, gain, rows: residual }),
        logits: found,
        tiles: own,
      });
      assert.ok(bitsOf(guarded(found)).equals(bitsOf(guarded(expected))));
    });

    it(`norm, QKV, rotary embedding and KV write, ${rows} rows in tiles of ${tile}: the bits of other tiles`, () => {
      const blocks = Math.ceil(rows / BLOCK_POSITIONS);
      const table = Array.from({ length: blocks }, (_, index) => index);
      const step = stepOf(rows, () => ({ tables: { full: table, window: table, windowFirst: 0 } }));
      const residual = randomFloats(rows * hiddenSize, 30, 2);
      const gain = randomFloats(hiddenSize, 31);
      const common = {
        step,
        weight: asBf16(randomFloats(QKV * hiddenSize, 32)).bits,
        bias: randomFloats(QKV, 33),
        cosines: randomFloats((rows * headDim) / 2, 34),
        sines: randomFloats((rows * headDim) / 2, 35),
        layer: 0,
        isWindow: 0,
      };
      const outputs = () => ({
        queries: outputOf(rows * attentionHeads * headDim),
        cache: new KvCache(blocks).elements,
      });
      const expected = outputs();
      const tiles = Math.ceil(rows / OTHER_TILE);
      runForm(emulator, denseForms(context, OTHER_TILE).qkv, denseBlocks(context, 'qkv', OTHER_TILE, tiles), {
        ...common,
        ...expected,
        gain,
        residual,
        tiles,
      });
      const found = outputs();
      const own = Math.ceil(rows / tile);
      runForm(emulator, termForms(context, tile).qkv, termBlocks(context, 'qkv', tile, own), {
        ...common,
        ...found,
        ...split('ofStep', rows, { step, gain, rows: residual }),
        tiles: own,
      });
      assert.ok(bitsOf(guarded(found.queries)).equals(bitsOf(guarded(expected.queries))), 'queries');
      assert.ok(bitsOf(found.cache).equals(bitsOf(expected.cache)), 'keys and values');
    });
  }
});
