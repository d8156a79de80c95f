import assert from 'node:assert/strict';
import { compileOffline, disassemble, parseDisassembly, readKernelResources } from '../../src/offline/index.ts';
import { isTailPoisoned, KernelEmulator, poison } from '../../src/testing/index.ts';
import { skipWithoutHostCompiler, skipWithoutLlvm } from '../testing/skip-without.ts';
import { SUMS, TILE_KERNEL_ARGUMENTS, TILE_TARGETS, type TileTarget, tileKernel } from './tile-kernel.ts';

/** Numbers of a tile: 16 tokens or rows of 32. */
const TILE = 16 * 32;
const GUARD = 4;

/** Whole numbers up to 255 and their halves, and powers of two, are exact. */
function bf16(values: ArrayLike<number>): Uint16Array {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  assert.ok(words.every((word) => (word & 0xffff) === 0));
  return Uint16Array.from(words, (word) => word >>> 16);
}

function integers(count: number, seed: number, most: number): number[] {
  let state = seed * 7919 + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return ((state >>> 8) % (2 * most + 1)) - most;
  });
}

/** sums[token][row] of one tile, in f64. */
function product(tokens: readonly number[], weights: readonly number[]): number[] {
  return Array.from({ length: SUMS }, (_, at) => {
    const [token, row] = [Math.floor(at / 16), at % 16];
    let sum = 0;
    for (let k = 0; k < 32; k++) sum += (tokens[token * 32 + k] as number) * (weights[row * 32 + k] as number);
    return sum;
  });
}

interface Operands {
  readonly tokens: readonly number[];
  readonly weights: readonly number[];
  readonly values: readonly number[];
}

/** Runs as many blocks as there are operands; every number of the result. */
function run(emulator: KernelEmulator, target: TileTarget, operands: readonly Operands[]) {
  const join = (name: keyof Operands): Uint16Array => bf16(operands.flatMap((each) => each[name]));
  const blocks = operands.length;
  const output = (numbers: number): Float32Array => poison(new Float32Array(blocks * numbers + GUARD));
  const [sums, products, ofParts] = [output(2 * SUMS), output(SUMS), output(16 * target.parts * 2)];
  const kernel = emulator.load({
    unit: tileKernel(target),
    symbol: 'router::multiply_one',
    arguments: TILE_KERNEL_ARGUMENTS,
    threadsPerBlock: target.waveSize,
  });
  kernel(blocks, join('tokens'), join('weights'), join('values'), sums, products, ofParts);
  for (const each of [sums, products, ofParts]) assert.ok(isTailPoisoned(each, GUARD * 4));
  return { sums: [...sums.subarray(0, -GUARD)], products: [...products.subarray(0, -GUARD)], ofParts };
}

for (const target of TILE_TARGETS) {
  const name = target.defines === undefined ? target.architecture : 'NVIDIA';
  describe(`matrix tiles, emulated: ${name}, ${target.form}`, function () {
    this.timeout(120_000);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    it('a token of one k meets the weights of that k, cell by cell', () => {
      const weights = Array.from({ length: 2 * TILE }, (_, at) => (at % 251) + 1);
      // Every token has another k in a block, and every k once in all of them.
      const kOf = (block: number, token: number): number => (block + token) % 32;
      const operands = Array.from({ length: 32 }, (_, block) => ({
        tokens: Array.from({ length: TILE }, (__, at) => (at % 32 === kOf(block, Math.floor(at / 32)) ? 1 : 0)),
        weights,
        values: Array.from({ length: TILE }, () => 0),
      }));
      const { sums } = run(emulator, target, operands);
      for (let block = 0; block < 32; block++) {
        for (const half of [0, 1]) {
          const found = sums.slice((block * 2 + half) * SUMS, (block * 2 + half + 1) * SUMS);
          const expected = Array.from({ length: SUMS }, (_, at) => {
            const k = kOf(block, Math.floor(at / 16));
            return 2 * (weights[half * TILE + (at % 16) * 32 + k] as number);
          });
          assert.deepEqual(found, expected, `block ${block}, rows from ${16 * half}`);
        }
      }
    });

    it('sums of whole numbers, and what becomes of them as tokens of another product', () => {
      const operands = [1, 2, 3, 4].map((seed) => ({
        // Few enough that a sum is a whole number below 256, which bf16 holds.
        tokens: integers(TILE, seed, 1).map((value, at) => (at % 5 === seed % 5 ? value : 0)),
        weights: integers(2 * TILE, seed + 10, 5),
        values: integers(TILE, seed + 20, 3),
      }));
      const { sums, products, ofParts } = run(emulator, target, operands);
      const both = operands.map(({ tokens, weights }) =>
        [0, 1].map((half) => product(tokens, weights.slice(half * TILE, (half + 1) * TILE)).map((value) => 2 * value)),
      );
      assert.deepEqual(sums, both.flat(2));
      const asTokens = both.map(([first = [], second = []]) =>
        Array.from({ length: 16 }, (_, token) =>
          [first, second].flatMap((half) => half.slice(token * 16, token * 16 + 16)),
        ),
      );
      assert.deepEqual(
        products,
        operands.flatMap(({ values }, index) => product((asTokens[index] ?? []).flat(), values)),
      );
      for (const [block, [first = []]] of both.entries()) {
        for (let token = 0; token < 16; token++) {
          const own = first.slice(token * 16, token * 16 + 16);
          for (let part = 0; part < target.parts; part++) {
            const at = ((block * 16 + token) * target.parts + part) * 2;
            assert.equal(ofParts[at], Math.max(...own));
            assert.equal(
              ofParts[at + 1],
              own.reduce((sum, value) => sum + value, 0),
            );
          }
        }
      }
    });

    it('numbers below the least normal bf16 are what they are, except on gfx90a, which takes them for 0', () => {
      const zeros = Array.from({ length: TILE }, () => 0);
      const tokens = zeros.map((_, at) => (at === 0 ? 2 ** 100 : 0));
      const weights = [...zeros, ...zeros].map((_, at) => (at === 0 ? 2 ** -130 : 0));
      const { sums } = run(emulator, target, [{ tokens, weights, values: zeros }]);
      assert.equal(sums[0], target.architecture === 'gfx90a' ? 0 : 2 ** -29);
    });
  });
}

/** Matrix instructions of one product of tiles of each form, and how many such products the kernel has. */
const INSTRUCTIONS: Readonly<Record<string, RegExp>> = {
  gfx90a: /^v_mfma_f32_16x16x16_?bf16_1k$/,
  gfx942: /^v_mfma_f32_16x16x16_bf16$/,
  gfx950: /^v_mfma_f32_16x16x32_bf16$/,
  gfx1100: /^v_wmma_f32_16x16x16_bf16$/,
  gfx1201: /^v_wmma_f32_16x16x16_bf16$/,
};
const PRODUCTS = 5;

describe('the AMD objects of matrix tiles', function () {
  this.timeout(120_000);
  before(skipWithoutLlvm);

  for (const architecture of ['gfx90a', 'gfx942', 'gfx950', 'gfx1030', 'gfx1100', 'gfx1151', 'gfx1201']) {
    it(`${architecture}: its own matrix instructions, nothing spilled`, () => {
      const waveSize = architecture.startsWith('gfx9') ? 64 : 32;
      const { source, defines } = tileKernel({ waveSize });
      const object = compileOffline({ source: source(), defines, architecture });
      const [resources, ...more] = readKernelResources(object);
      assert.ok(resources !== undefined && more.length === 0);
      assert.deepEqual([resources.scratch, resources.vgprSpills, resources.sgprSpills], [0, 0, 0]);
      const instructions = parseDisassembly(disassemble(object), 'multiply_one');
      const pattern = INSTRUCTIONS[architecture === 'gfx1151' ? 'gfx1100' : architecture];
      const found = instructions.filter(({ mnemonic }) => /mfma|wmma/.test(mnemonic));
      const each = architecture === 'gfx950' ? 1 : 2;
      assert.equal(found.length, pattern === undefined ? 0 : PRODUCTS * each);
      for (const { mnemonic } of found) assert.match(mnemonic, pattern ?? /^$/);
    });
  }
});
