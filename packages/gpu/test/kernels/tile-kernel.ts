/** A kernel that computes with matrix tiles alone, and the targets whose forms of them differ. */

import type { KernelTarget, KernelUnit } from '../../src/index.ts';
import { joinParts, MATRIX_TILE_PARTS, sharedPart } from '../../src/index.ts';

/** Places that a lane has for its sums. */
export const SUMS = 16 * 16;

/**
 * A block multiplies a tile of tokens with two tiles of weights, [16][32] each, and the 32 sums of a token with `values`,
 * [16][32], as they come: what is in column column_of_summed_row(row) meets the sum of that row.
 */
const SOURCE = `
namespace ROUTER_NAMESPACE {
constexpr int kOperands = 4;
extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_WAVE_SIZE)
    multiply_one(const Words4* tokens, const Words4* weights, const u16* values, float* sums, float* products,
                 float* ofParts) {
  alignas(16) __shared__ Words4 tiles[kOperands][kTileGranules];
  const int block = static_cast<int>(block_index());
  for (int i = lane_of_wave(); i < kTileGranules; i += kWaveSize) {
    const int place = tile_granule(i / kTilePieces, i % kTilePieces);
    tiles[0][place] = tokens[block * kTileGranules + i];
    tiles[1][place] = weights[block * 2 * kTileGranules + i];
    tiles[2][place] = weights[(block * 2 + 1) * kTileGranules + i];
  }
  for (int i = lane_of_wave(); i < 16 * 32; i += kWaveSize) {
    const int column = column_of_summed_row(i % 32);
    u16* granule = reinterpret_cast<u16*>(&tiles[3][tile_granule(i / 32, column / 8)]);
    granule[column % 8] = values[block * 16 * 32 + i];
  }
  block_barrier();
  const TokenTile own = load_tokens(tiles[0]);
  TileSum both[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    both[half] = zero_sum();
    multiply_tiles(both[half], load_weights(tiles[1 + half]), own);
    // Twice: sums are added to.
    multiply_tiles(both[half], load_weights(tiles[1 + half]), own);
  }
  TileSum product = zero_sum();
  multiply_tiles(product, load_weights(tiles[3]), as_tokens(both[0], both[1]));
#pragma unroll
  for (int t = 0; t < kTokensPerLane; t++) {
    float largest = -kInfinity;
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kRowsPerPart; i++) {
      const int row = row_of_part(part_of_lane(), i);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        sums[((block * 2 + half) * 16 + token_of_lane(t)) * 16 + row] = both[half].values[sum_index(t, i)];
      }
      products[(block * 16 + token_of_lane(t)) * 16 + row] = product.values[sum_index(t, i)];
      largest = larger(largest, both[0].values[sum_index(t, i)]);
      sum += both[0].values[sum_index(t, i)];
    }
    float* to = ofParts + ((block * 16 + token_of_lane(t)) * kTileParts + part_of_lane()) * 2;
    to[0] = largest_of_parts(largest);
    to[1] = sum_of_parts(sum);
  }
}
}  // namespace ROUTER_NAMESPACE
`;

export const TILE_KERNEL_ARGUMENTS = ['tokens', 'weights', 'values', 'sums', 'products', 'ofParts'].map(
  (name) => ({ name, type: 'pointer', doc: '' }) as const,
);

/** A target, the form that it has, and how many lanes have a token's sums between them. */
export interface TileTarget extends KernelTarget {
  readonly form: string;
  readonly parts: number;
  /** Macros that make the emulation take a form that its target does not have. */
  readonly defines?: Readonly<Record<string, number>>;
}

/** A target for every form, on both wave sizes where it has both. */
export const TILE_TARGETS: readonly TileTarget[] = [
  { vendor: 'amd', architecture: 'gfx90a', waveSize: 64, form: 'MFMA, 16 k', parts: 4 },
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64, form: 'MFMA, 16 k', parts: 4 },
  { vendor: 'amd', architecture: 'gfx950', waveSize: 64, form: 'MFMA, 32 k', parts: 4 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32, form: 'WMMA of gfx11', parts: 2 },
  { vendor: 'amd', architecture: 'gfx1201', waveSize: 32, form: 'WMMA of gfx12', parts: 2 },
  { vendor: 'amd', architecture: 'gfx1030', waveSize: 32, form: 'lanes', parts: 2 },
  { vendor: 'amd', architecture: 'gfx908', waveSize: 64, form: 'lanes', parts: 4 },
  // MATRIX_MMA_SYNC: NVIDIA's instruction in the emulation's waves of 32.
  { vendor: 'amd', architecture: 'gfx1030', waveSize: 32, form: 'mma.sync', parts: 4, defines: { MATRIX_FORM: 1 } },
];

export function tileKernel({ waveSize, defines = {} }: Pick<TileTarget, 'waveSize' | 'defines'>): KernelUnit {
  const parts = (['platform', 'wave', 'lane_exchange', 'streamed_loads', ...MATRIX_TILE_PARTS] as const).map(
    sharedPart,
  );
  return {
    name: 'multiply_one',
    source: () => joinParts(parts) + SOURCE,
    defines: { ROUTER_NAMESPACE: 'router', ROUTER_WAVE_SIZE: waveSize, ...defines },
  };
}
