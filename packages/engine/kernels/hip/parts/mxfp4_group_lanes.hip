// Groups of 16 rows of an MXFP4 matrix times f32 vectors (mxfp4_group.hip), by f32 multiply-adds of single lanes: for GPUs
// without products of bf16 tiles that keep f32 sums, and for the host. Two rows are a team's. A lane takes a whole block of
// 32 columns, then the one 32 blocks further on; it adds up a block before it applies the block's scale, and the lanes'
// sums meet in a butterfly.

namespace ROUTER_NAMESPACE {

constexpr int kGranules = 8;
constexpr int kRowsPerTeam = kGroupRows / kTeams;
static_assert(kRowsPerTeam * kTeams == kGroupRows, "teams have as many rows of a group each");

// The magnitude of a code lies in three bits, two of exponent and one of mantissa: at the top of an f32's mantissa they
// are the number times 2^-126, zero and one half (a subnormal) included. Vectors are kept times 2^64, so that no
// product comes near the end of the range, and a block's sum is brought back exactly.
constexpr float kVectorFactor = __builtin_bit_cast(float, (127u + 64u) << 23);
constexpr float kSumFactor = __builtin_bit_cast(float, (127u + 62u) << 23);

// The eight numbers of an arranged word. Six lie where a shift brings sign and magnitude to their places at once; of
// the other two, one lies in each half, in what is left.
ROUTER_INLINE void code_values(u32 word, float* values) {
  constexpr u32 kMask = 0x81c00000u;
  values[0] = bits_to_float(word & kMask);
  values[1] = bits_to_float((word << 3) & kMask);
  values[2] = bits_to_float((word << 6) & kMask);
  values[3] = bits_to_float((word << 16) & kMask);
  values[4] = bits_to_float((word << 19) & kMask);
  values[5] = bits_to_float((word << 22) & kMask);
  const u32 both = ((word << 1) & 0x80008000u) | ((word >> 5) & 0x01000100u) | ((word >> 4) & 0x00c000c0u);
  values[6] = bits_to_float(both & 0xffff0000u);
  values[7] = bits_to_float(both << 16);
}

// 2^(scale - 127); NaN for 255.
ROUTER_INLINE float block_scale(u32 scale) {
  const u32 bits = scale == 0 ? 0x00400000u : scale << 23;
  return bits_to_float(scale == 255 ? 0x7fc00000u : bits);
}

// Bytes of a vector in shared memory.
template <int COLUMNS>
constexpr int kVectorBytes = COLUMNS * 4;

// Where a vector's values are in shared memory: the eight groups of four of a block are mixed by the block's number, so
// that lanes, which read the same group of different blocks, find it in different banks.
ROUTER_INLINE int shared_place(int column) {
  const int block = column / kBlockColumns;
  const int granule = column / 4 % kGranules;
  return block * kBlockColumns + (granule ^ (block % kGranules)) * 4;
}

// Stores the eight values from column `column` on, which eight divides.
template <int COLUMNS>
ROUTER_INLINE void share_eight(u8* vector, int column, const float* values) {
  float scaled[8];
#pragma unroll
  for (int i = 0; i < 8; i++) scaled[i] = rounded_product(values[i], kVectorFactor);
  float* to = reinterpret_cast<float*>(vector);
  store_four(to + shared_place(column), scaled);
  store_four(to + shared_place(column + 4), scaled + 4);
}

// Stores the value of one column.
template <int COLUMNS>
ROUTER_INLINE void put_value(u8* vector, int column, float value) {
  reinterpret_cast<float*>(vector)[shared_place(column) + column % 4] = rounded_product(value, kVectorFactor);
}

constexpr bool kReadsInPlace = false;

template <int COLUMNS, int VECTORS>
struct Mxfp4Group {
  static_assert(COLUMNS % kBlockColumns == 0, "rows end in the middle of a block");
  // Floats of a group's sums in shared memory.
  static constexpr int kSumFloats = kGroupRows * VECTORS;
  static constexpr int kBlocks = COLUMNS / kBlockColumns;
  static constexpr int kTurns = (kBlocks + kTeam - 1) / kTeam;

  Words4 codes[kTurns][kRowsPerTeam];
  u32 scales[kTurns][kRowsPerTeam];
  float sums[kRowsPerTeam][VECTORS];

  ROUTER_INLINE bool has_block(int turn) {
    return (turn + 1) * kTeam <= kBlocks || turn * kTeam + lane_of_team() < kBlocks;
  }

  // Asks for a group, from its first row on.
  ENGINE_METHOD void load(const u8* groupCodes, const u8* groupScales) {
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      if (!has_block(turn)) continue;
      const int block = turn * kTeam + lane_of_team();
#pragma unroll
      for (int row = 0; row < kRowsPerTeam; row++) {
        const int at = (team_of_block() * kRowsPerTeam + row) * kBlocks + block;
        codes[turn][row] = load_streamed_words4(groupCodes + static_cast<u64>(at) * kBlockBytes);
        scales[turn][row] = groupScales[at];
      }
    }
  }

  // Where the vectors are, one behind the other from `place_of(0)` on.
  template <class PlaceOf>
  static ENGINE_METHOD const float* vectors_of(PlaceOf place_of) {
    return reinterpret_cast<const float*>(place_of(0));
  }

  // Multiplies what was asked for with the vectors; the group's sums are whole after a barrier. Where LOADS_NEXT, the next
  // group is asked for as this one is used up.
  template <bool LOADS_NEXT>
  ENGINE_METHOD void multiply(const float* shared, float* groupSums, const u8* nextCodes, const u8* nextScales) {
    Words4 words[kTurns][kRowsPerTeam];
    u32 blockScales[kTurns][kRowsPerTeam];
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
#pragma unroll
      for (int row = 0; row < kRowsPerTeam; row++) {
        words[turn][row] = codes[turn][row];
        blockScales[turn][row] = scales[turn][row];
      }
    }
    if constexpr (LOADS_NEXT) load(nextCodes, nextScales);
#pragma unroll
    for (int row = 0; row < kRowsPerTeam; row++) {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) sums[row][vector] = 0.0f;
    }
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      if (has_block(turn)) add_block(words[turn], blockScales[turn], shared, turn * kTeam + lane_of_team());
    }
#pragma unroll
    for (int row = 0; row < kRowsPerTeam; row++) {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) {
        const float sum = team_sum(sums[row][vector]);
        if (lane_of_team() == row * VECTORS + vector) {
          groupSums[(team_of_block() * kRowsPerTeam + row) * VECTORS + vector] = sum;
        }
      }
    }
  }

  // Of a row of the group and a vector, which may differ from lane to lane.
  static ENGINE_METHOD float sum_of(const float* groupSums, int row, int vector) {
    return groupSums[row * VECTORS + vector];
  }

  ENGINE_METHOD void add_block(const Words4 (&words)[kRowsPerTeam], const u32 (&blockScales)[kRowsPerTeam], const float* shared,
                               int block) {
    keep_loads_behind();
    float partial[kRowsPerTeam][VECTORS];
#pragma unroll
    for (int row = 0; row < kRowsPerTeam; row++) {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) partial[row][vector] = 0.0f;
    }
    const float* values = shared + block * kBlockColumns;
    add_word<0>(words, partial, values, block);
    keep_loads_behind();
    add_word<1>(words, partial, values, block);
    keep_loads_behind();
    add_word<2>(words, partial, values, block);
    keep_loads_behind();
    add_word<3>(words, partial, values, block);
#pragma unroll
    for (int row = 0; row < kRowsPerTeam; row++) {
      const float scale = block_scale(blockScales[row]);
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) {
        sums[row][vector] =
            multiply_add(rounded_product(partial[row][vector], kSumFactor), scale, sums[row][vector]);
      }
    }
  }

  // The eight columns of one word of each row's block.
  template <int WORD>
  ENGINE_METHOD void add_word(const Words4 (&words)[kRowsPerTeam], float (&partial)[kRowsPerTeam][VECTORS], const float* values,
                              int block) {
    float weights[kRowsPerTeam][8];
#pragma unroll
    for (int row = 0; row < kRowsPerTeam; row++) {
      const u32 word = WORD == 0 ? words[row].x : WORD == 1 ? words[row].y : WORD == 2 ? words[row].z : words[row].w;
      code_values(word, weights[row]);
    }
#pragma unroll
    for (int vector = 0; vector < VECTORS; vector++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float four[4];
        load_four(values + vector * COLUMNS + ((2 * WORD + half) ^ (block % kGranules)) * 4, four);
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
          for (int row = 0; row < kRowsPerTeam; row++) {
            partial[row][vector] = multiply_add(weights[row][4 * half + i], four[i], partial[row][vector]);
          }
        }
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
