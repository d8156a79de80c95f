// Groups of 16 rows of an MXFP4 matrix times f32 vectors (mxfp4_group.hip), by products of bf16 tiles with f32 sums. A lane
// unpacks codes to pairs of bf16 in a few instructions for eight of them, where single multiply-adds would need thirty.
//
// A vector goes in as two bf16 terms, together 16 bits of each value; each term is a column of the product. Columns of the
// matrix need no order of their own, so lanes take whole blocks: lane 4 * g + c has rows g and g + 8 and block c of four,
// and what it multiplies lies in shared memory as its codes do. Teams take neighbouring fours of blocks, and their sums are
// added in the order of the teams.

namespace ROUTER_NAMESPACE {

constexpr int kTerms = 2;
constexpr int kTileColumns = 8;
// Vectors whose terms are the columns of a product.
constexpr int kProductVectors = kTileColumns / kTerms;
constexpr int kBlocksAtOnce = 4;

// Numbers are unpacked as v * 2^-126 (subnormal bf16) and scaled to v * 2^(scale - 127) * 2^-64, so that neither the factor
// nor the weight leaves bf16's range for scales up to 192; the sums are brought back exactly. Larger scales, weights from
// 2^66 up, become infinite.
constexpr u32 kFactorExponent = 62;
constexpr float kTileSumFactor = __builtin_bit_cast(float, (127u + 64u) << 23);

// A block's factor, in both halves; NaN for 255.
ROUTER_INLINE u32 factor_pair(u32 scale) {
  const u32 bits = smaller(scale + kFactorExponent, 255u) << 7;
  return (scale == 255 ? 0x7fc0u : bits) * 0x00010001u;
}

// The eight numbers of an arranged word, times the factor: columns 3 and 0, 4 and 1, 5 and 2, 7 and 6.
ROUTER_INLINE void code_pairs(u32 word, u32 factor, u32 (&pairs)[4]) {
  constexpr u32 kMask = 0x81c081c0u;
  pairs[0] = bf16_pair_product(word & kMask, factor);
  pairs[1] = bf16_pair_product((word << 3) & kMask, factor);
  pairs[2] = bf16_pair_product((word << 6) & kMask, factor);
  const u32 both = ((word << 1) & 0x80008000u) | ((word >> 5) & 0x01000100u) | ((word >> 4) & 0x00c000c0u);
  pairs[3] = bf16_pair_product(both, factor);
}

// Blocks come in fours, the last of which need not be full.
template <int COLUMNS>
constexpr int kFoursOf = (COLUMNS / kBlockColumns + kBlocksAtOnce - 1) / kBlocksAtOnce;

// Of the same words of four blocks, in both terms: 16 bytes each, so that lanes find theirs in different banks.
constexpr int kTermBytes = kBlocksAtOnce * 16;
constexpr int kPieceBytes = kTerms * kTermBytes;

// Bytes of a vector: its first words of all fours, then its second ones, and so on.
template <int COLUMNS>
constexpr int kVectorBytes = 4 * kFoursOf<COLUMNS> * kPieceBytes;

// Where the eight columns of a word of a block are in a vector, in bytes.
template <int COLUMNS>
ROUTER_INLINE int word_place(int block, int word, int term) {
  const int piece = word * kFoursOf<COLUMNS> + block / kBlocksAtOnce;
  return piece * kPieceBytes + term * kTermBytes + block % kBlocksAtOnce * 16;
}

// The nearest bf16 of two numbers; what they leave is left.
ROUTER_INLINE u32 take_pair(float& low, float& high) {
  const u32 pair = nearest_bf16_pair(low, high);
  low = rounded_sum(low, -low_bf16(pair));
  high = rounded_sum(high, -high_bf16(pair));
  return pair;
}

// Stores the eight values from column `column` on, which eight divides.
template <int COLUMNS>
ROUTER_INLINE void share_eight(u8* vector, int column, const float* values) {
  float left[8];
#pragma unroll
  for (int i = 0; i < 8; i++) left[i] = values[i];
#pragma unroll
  for (int term = 0; term < kTerms; term++) {
    // As code_pairs has them.
    Words4 words;
    words.x = take_pair(left[3], left[0]);
    words.y = take_pair(left[4], left[1]);
    words.z = take_pair(left[5], left[2]);
    words.w = take_pair(left[7], left[6]);
    *reinterpret_cast<Words4*>(vector + word_place<COLUMNS>(column / kBlockColumns, column % kBlockColumns / 8, term)) =
        words;
  }
}

// Stores the value of one column.
template <int COLUMNS>
ROUTER_INLINE void put_value(u8* vector, int column, float value) {
  // Of the eight columns of a word, as code_pairs has them: those in the high halves are 0, 1, 2 and 6.
  const int index = column % 8;
  const bool isHigh = index < 3 || index == 6;
  const int pair = index > 5 ? 3 : index % 3;
#pragma unroll
  for (int term = 0; term < kTerms; term++) {
    const u32 bits = nearest_bf16_pair(value, 0.0f);
    const int place = word_place<COLUMNS>(column / kBlockColumns, column % kBlockColumns / 8, term);
    *reinterpret_cast<u16*>(vector + place + pair * 4 + (isHigh ? 2 : 0)) = static_cast<u16>(bits);
    value = rounded_sum(value, -low_bf16(bits));
  }
}

constexpr bool kReadsInPlace = true;

// A group's codes and scales as its teams have them, and what they are multiplied with.
template <int COLUMNS>
struct Mxfp4Codes {
  static_assert(COLUMNS % kBlockColumns == 0, "rows end in the middle of a block");
  static constexpr int kBlocks = COLUMNS / kBlockColumns;
  static constexpr int kFours = kFoursOf<COLUMNS>;
  static constexpr int kTurns = (kFours + kGroupTeams - 1) / kGroupTeams;
  // Of rows g and g + 8. Where a lane has no block, the last one stands in, with factors of 0: it costs nothing, and nothing
  // waits for a branch.
  Words4 codes[kTurns][2];
  u32 scales[kTurns][2];

  ROUTER_INLINE int block_of(int turn) {
    return (team_of_group() * kTurns + turn) * kBlocksAtOnce + lane_of_team() % kBlocksAtOnce;
  }
  ROUTER_INLINE bool has_block(int turn) {
    return ((kGroupTeams - 1) * kTurns + turn + 1) * kBlocksAtOnce <= kBlocks || block_of(turn) < kBlocks;
  }
  ROUTER_INLINE int nearest_block(int turn) { return smaller(block_of(turn), kBlocks - 1); }

  // Where the lane's block of a row is among those of a group; that of the row 8 further on is half of a group behind it.
  ROUTER_INLINE u32 place_of(int row, int turn) { return static_cast<u32>(row * kBlocks + nearest_block(turn)); }
  static constexpr u32 kHalfBlocks = kGroupRows / 2 * kBlocks;

  // Adds the codes times `right_of(product, turn, word)`, the columns that a lane gives to each product. `load_next(turn)` may
  // ask for the next group's. Sums of even and odd words are formed by themselves: a product would wait for the one before
  // whose sums it adds to.
  template <int PRODUCTS, class RightOf, class LoadNext>
  ENGINE_METHOD void add_products(float (&sums)[PRODUCTS][2][4], RightOf right_of, LoadNext load_next) {
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      const Words4 words[2] = {codes[turn][0], codes[turn][1]};
      const u32 factors[2] = {has_block(turn) ? factor_pair(scales[turn][0]) : 0,
                              has_block(turn) ? factor_pair(scales[turn][1]) : 0};
      load_next(turn);
#pragma unroll
      for (int word = 0; word < 4; word++) {
        u32 upper[4];
        u32 lower[4];
        code_pairs(word_of(words[0], word), factors[0], upper);
        code_pairs(word_of(words[1], word), factors[1], lower);
#pragma unroll
        for (int product = 0; product < PRODUCTS; product++) {
          const Words4 right = right_of(product, turn, word);
          float(&sum)[4] = sums[product][word % 2];
          add_bf16_product(sum, {upper[0], lower[0], upper[1], lower[1]}, {right.x, right.y});
          add_bf16_product(sum, {upper[2], lower[2], upper[3], lower[3]}, {right.z, right.w});
        }
      }
    }
  }

  // Leaves a team's sums: a lane has both terms of vector lane % 4 of each product, of the row that is its g and the row 8
  // further on.
  template <int VECTORS, int PRODUCTS>
  ENGINE_METHOD void leave(const float (&sums)[PRODUCTS][2][4], float* groupSums, int row) {
    const int lane = lane_of_team();
#pragma unroll
    for (int product = 0; product < PRODUCTS; product++) {
      const int vector = product * kProductVectors + lane % kBlocksAtOnce;
      if (vector >= VECTORS) continue;
      float* to = groupSums + (team_of_group() * VECTORS + vector) * kGroupRows + row;
      const auto sum_of_words = [&](int at) { return rounded_sum(sums[product][0][at], sums[product][1][at]); };
      to[0] = rounded_product(rounded_sum(sum_of_words(0), sum_of_words(1)), kTileSumFactor);
      to[8] = rounded_product(rounded_sum(sum_of_words(2), sum_of_words(3)), kTileSumFactor);
    }
  }

  static ENGINE_METHOD u32 word_of(Words4 words, int word) {
    return word == 0 ? words.x : word == 1 ? words.y : word == 2 ? words.z : words.w;
  }
};

// Of a group's sums, which are of each team, vector and row: that of a row and a vector, in the order of the teams.
template <int VECTORS>
ROUTER_INLINE float sum_of_group(const float* groupSums, int row, int vector) {
  float sum = 0.0f;
#pragma unroll
  for (int team = 0; team < kGroupTeams; team++) sum += groupSums[(team * VECTORS + vector) * kGroupRows + row];
  return sum;
}

template <int COLUMNS, int VECTORS>
struct Mxfp4Group : Mxfp4Codes<COLUMNS> {
  using Codes = Mxfp4Codes<COLUMNS>;
  // Products beside each other, the columns of each the terms of as many vectors as it has room for.
  static constexpr int kProducts = (VECTORS + kProductVectors - 1) / kProductVectors;
  // Floats of a group's sums in shared memory.
  static constexpr int kSumFloats = kGroupTeams * kGroupRows * VECTORS;

  // Where the columns are that a lane gives, one to each product: a term of a vector, of the last one where there are no
  // more. Nobody reads what comes of those.
  struct Columns {
    const u8* own[kProducts][Codes::kTurns];
  };

  // Vector `index` lies at `place_of(index)`.
  template <class PlaceOf>
  static ENGINE_METHOD Columns vectors_of(PlaceOf place_of) {
    Columns columns;
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      const int column = product * kTileColumns + lane_of_team() / kBlocksAtOnce;
      const int vector = smaller(column / kTerms, VECTORS - 1);
      const u8* place = place_of(vector);
#pragma unroll
      for (int turn = 0; turn < Codes::kTurns; turn++) {
        columns.own[product][turn] = place + word_place<COLUMNS>(Codes::nearest_block(turn), 0, column % kTerms);
      }
    }
    return columns;
  }

  // Asks for a group, from its first row on.
  ENGINE_METHOD void load(const u8* groupCodes, const u8* groupScales) {
#pragma unroll
    for (int turn = 0; turn < Codes::kTurns; turn++) load_turn(groupCodes, groupScales, turn);
  }

  ENGINE_METHOD void load_turn(const u8* groupCodes, const u8* groupScales, int turn) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const u64 at = Codes::place_of(lane_of_team() / kBlocksAtOnce, turn) + half * Codes::kHalfBlocks;
      Codes::codes[turn][half] = load_streamed_words4(groupCodes + at * kBlockBytes);
      Codes::scales[turn][half] = groupScales[at];
    }
  }

  // Multiplies what was asked for with the vectors; the group's sums are whole after a barrier. Where LOADS_NEXT, the next
  // group is asked for as this one is used up.
  template <bool LOADS_NEXT>
  ENGINE_METHOD void multiply(const Columns& columns, float* groupSums, const u8* nextCodes, const u8* nextScales) {
    float sums[kProducts][2][4] = {};
    const auto right_of = [&](int product, int turn, int word) {
      return *reinterpret_cast<const Words4*>(columns.own[product][turn] + word * Codes::kFours * kPieceBytes);
    };
    const auto load_next = [&](int turn) {
      if constexpr (LOADS_NEXT) load_turn(nextCodes, nextScales, turn);
    };
    Codes::add_products(sums, right_of, load_next);
    Codes::template leave<VECTORS>(sums, groupSums, lane_of_team() / kBlocksAtOnce);
  }

  // Of a row of the group and a vector, which may differ from lane to lane.
  static ENGINE_METHOD float sum_of(const float* groupSums, int row, int vector) {
    return sum_of_group<VECTORS>(groupSums, row, vector);
  }
};

}  // namespace ROUTER_NAMESPACE
