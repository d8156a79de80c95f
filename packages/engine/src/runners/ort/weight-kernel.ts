import {
  MXFP4_BLOCK,
  MXFP4_BLOCK_BYTES,
  MXFP4_HALF_UNITS,
  decodeFloats,
  elementCount,
  tensorByteLength,
} from '@switchyard/models';
import type { Mxfp4Tensor, Tensor } from '@switchyard/models';
import { PAGE_BYTES, RESERVED_BYTES, loadKernel } from './wasm-kernel.ts';

/** The functions of kernels/cpu/convert_weights.c. Pointers are byte offsets into the memory, multiples of 16. */
interface ConversionKernel {
  mxfp4_to_blocks4(
    bytes: number,
    exponents: number,
    codes4: number,
    steps: number,
    scalesOf: number,
    output: number,
    scales: number,
    blocks: number,
  ): void;
  mxfp4_to_blocks8(
    bytes: number,
    exponents: number,
    scalesOf: number,
    output: number,
    scales: number,
    blocks: number,
  ): void;
  bf16_to_blocks8(values: number, output: number, scales: number, blocks: number): void;
  f32_to_blocks8(values: number, output: number, scales: number, blocks: number): void;
}

/** What the bytes of tensors come from: `read` fills `target` with bytes `begin` to `end` (exclusive). */
interface TensorReader {
  read(tensor: Tensor, begin: number, end: number, target: Uint8Array): unknown;
}

/** Converted blocks; views that are valid until the next conversion. */
export interface ConvertedBlocks {
  /** u8 [blocks, 16] of 4-bit codes, low nibble first, or u8 [blocks, 32]. */
  readonly codes: Uint8Array;
  /** f32 [blocks]. */
  readonly scales: Float32Array;
}

const MOST_HALF_UNITS = 12;
const EXTREMES = 2 * MOST_HALF_UNITS + 1;
/** Most blocks of one call. */
const MOST_BLOCKS = 2 ** 17;

/** Half units a 4-bit step, by a block's extreme: the extreme lands on the step -8, the others from -7 to 7. */
const stepOf = (extreme: number): number => (extreme === 0 ? 1 : extreme / -8);

/** The 4-bit codes of all MXFP4 codes in blocks of each extreme, u8 [25, 16]. */
const CODES_4 = Uint8Array.from({ length: EXTREMES * 16 }, (_, index) => {
  const step = stepOf((index >> 4) - MOST_HALF_UNITS);
  return Math.min(15, Math.round((MXFP4_HALF_UNITS[index & 15] as number) / step) + 8);
});
const STEPS = Float32Array.from({ length: EXTREMES }, (_, index) => stepOf(index - MOST_HALF_UNITS));

/** Half the value of each E8M0 scale (OCP Microscaling Formats 1.0), for half units: 2^(byte - 128), NaN for 255. */
const HALF_SCALES = Float32Array.from({ length: 256 }, (_, byte) => (byte === 255 ? NaN : 2 ** (byte - 128)));

/** Where in the memory everything lies. */
const CODES_4_AT = RESERVED_BYTES;
const STEPS_AT = CODES_4_AT + CODES_4.byteLength;
const HALF_SCALES_AT = STEPS_AT + 112;
const EXPONENTS_AT = HALF_SCALES_AT + HALF_SCALES.byteLength;
const SCALES_AT = EXPONENTS_AT + MOST_BLOCKS;
const INPUT_AT = SCALES_AT + 4 * MOST_BLOCKS;
const INPUT_BYTES = 2 * MXFP4_BLOCK * MOST_BLOCKS;
const OUTPUT_AT = INPUT_AT + INPUT_BYTES;
const END = OUTPUT_AT + MXFP4_BLOCK * MOST_BLOCKS;

/** Reads tensors into the memory of the kernel and converts them there. */
export class WeightKernel {
  readonly #kernel: ConversionKernel;
  readonly #memory: ArrayBuffer;

  constructor() {
    const { kernel, memory } = loadKernel('convert_weights');
    memory.grow(Math.ceil(END / PAGE_BYTES) - 1);
    this.#kernel = kernel as ConversionKernel;
    this.#memory = memory.buffer;
    new Uint8Array(this.#memory, CODES_4_AT).set(CODES_4);
    new Float32Array(this.#memory, STEPS_AT).set(STEPS);
    new Float32Array(this.#memory, HALF_SCALES_AT).set(HALF_SCALES);
  }

  /** Most blocks of MXFP4 that one call converts. */
  readonly mostBlocks = MOST_BLOCKS;

  /** Most blocks of floats of any dtype that one call converts: as f32 they fill the input. */
  readonly mostFloatBlocks = INPUT_BYTES / (4 * MXFP4_BLOCK);

  /** Blocks of an MXFP4 tensor as 4-bit steps or, exactly, as 8-bit half units. */
  mxfp4(reader: TensorReader, weight: Mxfp4Tensor, first: number, blocks: number, bits: 4 | 8): ConvertedBlocks {
    const blockBytes = MXFP4_BLOCK_BYTES;
    const end = first + blocks;
    reader.read(weight.blocks, first * blockBytes, end * blockBytes, this.#bytes(INPUT_AT, blocks * blockBytes));
    reader.read(weight.scales, first, end, this.#bytes(EXPONENTS_AT, blocks));
    if (bits === 4) {
      this.#kernel.mxfp4_to_blocks4(
        INPUT_AT,
        EXPONENTS_AT,
        CODES_4_AT,
        STEPS_AT,
        HALF_SCALES_AT,
        OUTPUT_AT,
        SCALES_AT,
        blocks,
      );
    } else {
      this.#kernel.mxfp4_to_blocks8(INPUT_AT, EXPONENTS_AT, HALF_SCALES_AT, OUTPUT_AT, SCALES_AT, blocks);
    }
    return this.#converted(blocks, (MXFP4_BLOCK * bits) / 8);
  }

  /** Blocks of a bf16, f16 or f32 tensor as 8-bit steps, of which the largest magnitude of a block is 127. */
  floats(reader: TensorReader, tensor: Tensor, first: number, blocks: number): ConvertedBlocks {
    const blockBytes = (MXFP4_BLOCK * tensorByteLength(tensor)) / elementCount(tensor);
    const input = this.#bytes(INPUT_AT, blocks * blockBytes);
    reader.read(tensor, first * blockBytes, (first + blocks) * blockBytes, input);
    if (tensor.dtype === 'BF16') {
      this.#kernel.bf16_to_blocks8(INPUT_AT, OUTPUT_AT, SCALES_AT, blocks);
    } else {
      // In place: f16 is copied out, as f32 it takes twice the room.
      const stored = tensor.dtype === 'F16' ? input.slice() : input;
      decodeFloats(stored, tensor.dtype, new Float32Array(this.#memory, INPUT_AT, blocks * MXFP4_BLOCK));
      this.#kernel.f32_to_blocks8(INPUT_AT, OUTPUT_AT, SCALES_AT, blocks);
    }
    return this.#converted(blocks, MXFP4_BLOCK);
  }

  #converted(blocks: number, blockBytes: number): ConvertedBlocks {
    return {
      codes: this.#bytes(OUTPUT_AT, blocks * blockBytes),
      scales: new Float32Array(this.#memory, SCALES_AT, blocks),
    };
  }

  #bytes(start: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory, start, length);
  }
}
