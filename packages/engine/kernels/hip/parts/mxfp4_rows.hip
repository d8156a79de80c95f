// Rows of an MXFP4 matrix times f32 vectors. A lane takes a whole block of 32 columns, then the one 32 blocks further
// on; it adds up a block before it applies the block's scale, and the lanes' sums meet in a butterfly. So the number of
// columns alone decides in which order a sum is formed, however many rows and vectors a team works on.
//
// Codes are u32 [rows, columns / 8], as arrange_codes.hip leaves them; scales are U8 [rows, columns / 32].

namespace ROUTER_NAMESPACE {

constexpr int kBlockColumns = 32;
constexpr int kBlockBytes = 16;
constexpr int kGranules = 8;

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

// Where a vector's values are in shared memory: the eight groups of four of a block are mixed by the block's number, so
// that lanes, which read the same group of different blocks, find it in different banks.
ROUTER_INLINE int shared_place(int column) {
  const int block = column / kBlockColumns;
  const int granule = column / 4 % kGranules;
  return block * kBlockColumns + (granule ^ (block % kGranules)) * 4;
}

// Brings a vector to shared memory; the whole block takes part, and waits for it afterwards.
template <int COLUMNS>
ROUTER_INLINE void share_vector(const float* vector, float* shared) {
  for (int column = static_cast<int>(thread_index()) * 4; column < COLUMNS; column += kThreads * 4) {
    float values[4];
    load_four(vector + column, values);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = rounded_product(values[i], kVectorFactor);
    store_four(shared + shared_place(column), values);
  }
}

template <int COLUMNS, int ROWS, int VECTORS>
struct Mxfp4Rows {
  static_assert(COLUMNS % kBlockColumns == 0, "rows end in the middle of a block");
  static constexpr int kBlocks = COLUMNS / kBlockColumns;
  static constexpr int kTurns = (kBlocks + kTeam - 1) / kTeam;

  // What was asked for last, and what is being used.
  Words4 pendingCodes[kTurns][ROWS];
  u32 pendingScales[kTurns][ROWS];
  Words4 codes[kTurns][ROWS];
  u32 scales[kTurns][ROWS];
  float sums[ROWS][VECTORS];

  ROUTER_INLINE bool has_block(int turn) {
    return (turn + 1) * kTeam <= kBlocks || turn * kTeam + lane_of_team() < kBlocks;
  }

  // Asks for all of the rows.
  ENGINE_METHOD void load(const u8* rowCodes, const u8* rowScales) {
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      const int block = turn * kTeam + lane_of_team();
#pragma unroll
      for (int row = 0; row < ROWS; row++) {
        if (!has_block(turn)) continue;
        const int at = row * kBlocks + block;
        pendingCodes[turn][row] = load_streamed_words4(rowCodes + static_cast<u64>(at) * kBlockBytes);
        pendingScales[turn][row] = rowScales[at];
      }
    }
  }

  // Begins to use what was asked for.
  ENGINE_METHOD void take() {
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
#pragma unroll
      for (int row = 0; row < ROWS; row++) {
        codes[turn][row] = pendingCodes[turn][row];
        scales[turn][row] = pendingScales[turn][row];
      }
    }
  }

  // `shared` holds the vectors, COLUMNS apart, as share_vector leaves them.
  ENGINE_METHOD void multiply(const float* shared) {
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) sums[row][vector] = 0.0f;
    }
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      if (has_block(turn)) add_block(codes[turn], scales[turn], shared, turn * kTeam + lane_of_team());
    }
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) sums[row][vector] = team_sum(sums[row][vector]);
    }
  }

  // The sum of row `row` and vector `vector`, which differ from lane to lane. Chosen by comparing, since registers have
  // no index.
  ENGINE_METHOD float sum_of(int row, int vector) const {
    float own = 0.0f;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) own = row == r && vector == v ? sums[r][v] : own;
    }
    return own;
  }

  ENGINE_METHOD void add_block(const Words4 (&words)[ROWS], const u32 (&blockScales)[ROWS], const float* shared,
                               int block) {
    keep_loads_behind();
    float partial[ROWS][VECTORS];
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
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
    for (int row = 0; row < ROWS; row++) {
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
  ENGINE_METHOD void add_word(const Words4 (&words)[ROWS], float (&partial)[ROWS][VECTORS], const float* values,
                              int block) {
    float weights[ROWS][8];
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
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
          for (int row = 0; row < ROWS; row++) {
            partial[row][vector] = multiply_add(weights[row][4 * half + i], four[i], partial[row][vector]);
          }
        }
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
