// An MXFP4 matrix as the weights of tile_products.hip: codes become bf16 on their way to shared memory, once a block,
// their scale included. That is exact, save that what is below bf16's least normal number may become 0 and what is
// past its largest becomes infinite: 2^-126 and 2^127, which no weights of a model come near.

namespace ROUTER_NAMESPACE {

// Columns of a block that share a scale, and bytes of its codes.
constexpr int kBlockColumns = 32;
constexpr int kBlockBytes = 16;

// Two bf16 numbers times a power of two.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
ROUTER_INLINE u32 scaled_pair(u32 pair, float factor) {
  const u32 half = float_to_bits(factor) >> 16;
  u32 product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(pair), "r"(half | half << 16), "r"(0x80008000u));
  return product;
}
#else
ROUTER_INLINE u32 scaled_pair(u32 pair, float factor) {
  const float low = rounded_product(low_bf16(pair), factor);
  const float high = rounded_product(high_bf16(pair), factor);
  return float_to_bits(low) >> 16 | (float_to_bits(high) & 0xffff0000u);
}
#endif

// Codes are their numbers times 2^-126, so that they are multiplied with 2^(scale - 1). Of that, a bf16 holds what scales
// up to kLargestScale need; others, above 2, are for a second factor, and none of a model is.
constexpr u32 kLargestScale = 128;
ROUTER_INLINE float first_factor(u32 scale) { return bits_to_float((smaller(scale, kLargestScale) + 126) << 23); }
ROUTER_INLINE float second_factor(u32 scale) { return bits_to_float(scale == 255 ? 0x7fc00000u : (scale - 1) << 23); }

ROUTER_INLINE u32 high_halves(u32 first, u32 second) { return first >> 16 | (second & 0xffff0000u); }
ROUTER_INLINE u32 low_halves(u32 first, u32 second) { return (first & 0xffffu) | second << 16; }
ROUTER_INLINE u32 high_then_low(u32 first, u32 second) { return first >> 16 | second << 16; }

// The eight numbers of a word as arrange_codes.hip leaves it, in their order. Sign and magnitude of a code, at the places
// that they have in a bf16, are the number times 2^-126, and lie there in both halves of a word at once.
ROUTER_INLINE Words4 scaled_codes(u32 word, float factor) {
  constexpr u32 kMask = 0x81c081c0u;
  const u32 remaining = ((word << 1) & 0x80008000u) | ((word >> 5) & 0x01000100u) | ((word >> 4) & 0x00c000c0u);
  const u32 of0And3 = scaled_pair(word & kMask, factor);
  const u32 of1And4 = scaled_pair((word << 3) & kMask, factor);
  const u32 of2And5 = scaled_pair((word << 6) & kMask, factor);
  const u32 of6And7 = scaled_pair(remaining, factor);
  Words4 numbers;
  numbers.x = high_halves(of0And3, of1And4);
  numbers.y = high_then_low(of2And5, of0And3);
  numbers.z = low_halves(of1And4, of2And5);
  numbers.w = high_then_low(of6And7, of6And7);
  return numbers;
}

// Codes wait in registers. A thread takes kOwn words of a block of a row.
struct Mxfp4Operand {
  static constexpr int kBuffers = 2;
  static constexpr bool kCopiesByItself = false;
  static constexpr int kOwn = kWeightGranules / kThreads;
  static_assert(kOwn == 4 || kOwn == 2, "a thread takes a block of codes, or half of one");

  // The tile to fill in the first buffer, and the buffer that comes next.
  Words4* tile;
  int buffer;
  // What comes next of the row.
  const u8* codes;
  const u8* scales;
  u32 words[kOwn];
  u32 scale;

  // The row of the block's, and the first piece of it, that a thread is to fill.
  ROUTER_INLINE int slot() { return static_cast<int>(thread_index()) * kOwn / kTilePieces; }
  ROUTER_INLINE int first_piece() { return static_cast<int>(thread_index()) * kOwn % kTilePieces; }

  ENGINE_METHOD void begin(const u8* rowCodes, const u8* rowScales) {
    codes = rowCodes;
    scales = rowScales;
  }
  ENGINE_METHOD void ask() {
    if constexpr (kOwn == 4) {
      const Words4 loaded = *reinterpret_cast<const Words4*>(codes);
      words[0] = loaded.x;
      words[1] = loaded.y;
      words[2] = loaded.z;
      words[3] = loaded.w;
    } else {
      const Words2 loaded = *reinterpret_cast<const Words2*>(codes);
      words[0] = loaded.x;
      words[1] = loaded.y;
    }
    scale = *scales;
    codes += kBlockBytes;
    scales++;
  }
  ENGINE_METHOD void deliver() {
    Words4 numbers[kOwn];
#pragma unroll
    for (int own = 0; own < kOwn; own++) numbers[own] = scaled_codes(words[own], first_factor(scale));
    if (scale > kLargestScale) {
      const float factor = second_factor(scale);
#pragma unroll
      for (int own = 0; own < kOwn; own++) {
        numbers[own].x = scaled_pair(numbers[own].x, factor);
        numbers[own].y = scaled_pair(numbers[own].y, factor);
        numbers[own].z = scaled_pair(numbers[own].z, factor);
        numbers[own].w = scaled_pair(numbers[own].w, factor);
      }
    }
#pragma unroll
    for (int own = 0; own < kOwn; own++) {
      tile[buffer * kWeightGranules + tile_granule(slot() % kTileSize, first_piece() + own)] = numbers[own];
    }
    buffer ^= 1;
  }
};

// The rows of an expert's matrix of ROWS rows that a block multiplies with, from `firstRow` on.
template <int ROWS, int COLUMNS>
ROUTER_INLINE Mxfp4Operand expert_operand(const u8* codes, const u8* scales, int expert, int firstRow, Words4* shared) {
  Mxfp4Operand operand;
  operand.tile = shared + Mxfp4Operand::slot() / kTileSize * kTileGranules;
  operand.buffer = 0;
  const int row =
      firstRow + block_row<RowOrder::neighbours>(Mxfp4Operand::slot() / kTileSize, Mxfp4Operand::slot() % kTileSize);
  const u64 at = static_cast<u64>(expert) * ROWS + smaller(row, ROWS - 1);
  operand.begin(codes + at * (COLUMNS / 2) + Mxfp4Operand::first_piece() * 4, scales + at * (COLUMNS / kBlockColumns));
  return operand;
}

}  // namespace ROUTER_NAMESPACE
