// Rows of an expert's MXFP4 matrix times tokens in KERNEL_TERMS terms of bf16, by groups of four waves with the weights in
// registers (matrix_row_groups.hip): codes become bf16 where they are multiplied, and shared memory has tokens alone.
//
// A block has a group for every 64 of its rows, and up to KERNEL_TOKENS tokens. A lane has two neighbouring rows, and of every
// four blocks of 32 columns one (arranged_columns.hip), whose codes are on their way while the four before are multiplied. A step
// is a word of them, and 32 numbers of each token. The number of columns alone decides how a sum is formed: a token's bits depend
// neither on the others nor on how many rows and tokens a block has.

namespace ROUTER_NAMESPACE {

constexpr int kBlockColumns = 32;
constexpr int kBlockBytes = 16;
constexpr int kTerms = KERNEL_TERMS;
constexpr int kBlockTokens = KERNEL_TOKENS;
constexpr int kBlockRows = kThreads / (kGroupWaves * kWaveSize) * kRowGroupRows;
constexpr int kSums = kBlockTokens / kSumTokens;
// Steps that are in shared memory at once, and the granules of each.
constexpr int kStages = 4;
constexpr int kTermGranules = kBlockTokens / kTileSize * kTileGranules;
constexpr int kTokenGranules = kTerms * kTermGranules;
static_assert(kStages * kTokenGranules * 16 == KERNEL_SHARED_BYTES, "a block has room for its tokens");

// The pair of rows, among the eight pairs of a wave's rows, that a lane has: so that lanes 16 apart have columns that
// arranged_columns.hip makes neighbours, of what comes out of pairs.
ROUTER_INLINE int pair_of_lane() {
  constexpr u32 kOrder = 0x62107543u;
  return static_cast<int>(kOrder >> (lane_of_wave() / 4 * 4) & 7u);
}
// The lane's first row, counted from the block's; the other one is the next.
ROUTER_INLINE int first_row_of_lane() {
  return static_cast<int>(thread_index() / kWaveSize) * kTileSize + 2 * pair_of_lane();
}

// Codes are their numbers times 2^-126, so that they are multiplied with 2^(scale - 1). Of that, a bf16 holds what scales up
// to kLargestScale need; others, above 2, are for a second factor, and none of a model is.
constexpr u32 kLargestScale = 128;
ROUTER_INLINE u32 both_halves(u32 half) { return half | half << 16; }
ROUTER_INLINE u32 first_factor_pair(u32 scale) { return both_halves((smaller(scale, kLargestScale) + 126) << 7); }
ROUTER_INLINE u32 second_factor_pair(u32 scale) {
  return both_halves(scale == 255 ? 0x7fc0u : (larger(scale, kLargestScale) - 1) << 7);
}

// A lane's block of two rows: codes, and the factors of their numbers.
struct RowBlocks {
  Words4 codes[2];
  u32 scales[2];
};

// A lane's two rows of a matrix of COLUMNS columns.
template <int COLUMNS>
struct LaneRows {
  static_assert(COLUMNS % kBlockColumns == 0, "rows end in the middle of a block");
  static constexpr int kBlocks = COLUMNS / kBlockColumns;
  static constexpr int kFours = (kBlocks + 3) / 4;

  const u8* codes;
  const u8* scales;

  // Where a lane has no block, the last one stands in, with factors of 0.
  static ENGINE_METHOD int block_of(int four) { return 4 * four + lane_of_wave() % 4; }

  ENGINE_METHOD RowBlocks load(int four) const {
    const int block = smaller(block_of(four), kBlocks - 1);
    RowBlocks blocks;
#pragma unroll
    for (int row = 0; row < 2; row++) {
      blocks.codes[row] = load_streamed_words4(codes + (row * kBlocks + block) * kBlockBytes);
      blocks.scales[row] = scales[row * kBlocks + block];
    }
    return blocks;
  }
};

// The rows of an expert's matrix of ROWS rows that a lane multiplies with, from the block's first row on.
template <int ROWS, int COLUMNS>
ROUTER_INLINE LaneRows<COLUMNS> lane_rows(const u8* codes, const u8* scales, int expert, int blockRow) {
  static_assert(ROWS % 2 == 0, "rows come in pairs");
  const int row = smaller(blockRow + first_row_of_lane(), ROWS - 2);
  const u64 at = static_cast<u64>(expert) * ROWS + row;
  return {codes + at * (COLUMNS / 2), scales + at * (COLUMNS / kBlockColumns)};
}

// The factors of a lane's blocks, those of one that it does not have 0.
struct RowFactors {
  u32 first[2];
  u32 second[2];
  bool hasSecond;

  ENGINE_METHOD void take(const u32 (&scales)[2], bool hasBlock) {
#pragma unroll
    for (int row = 0; row < 2; row++) {
      first[row] = hasBlock ? first_factor_pair(scales[row]) : 0;
      second[row] = second_factor_pair(scales[row]);
    }
    hasSecond = hasBlock && larger(scales[0], scales[1]) > kLargestScale;
  }
};

// The eight numbers of an arranged word, times a factor: columns 3 and 0, 4 and 1, 5 and 2, 7 and 6.
ROUTER_INLINE void unpack_pairs(u32 word, u32 factor, u32 (&pairs)[4]) {
  constexpr u32 kMask = 0x81c081c0u;
  pairs[0] = bf16_pair_product(word & kMask, factor);
  pairs[1] = bf16_pair_product((word << 3) & kMask, factor);
  pairs[2] = bf16_pair_product((word << 6) & kMask, factor);
  const u32 both = ((word << 1) & 0x80008000u) | ((word >> 5) & 0x01000100u) | ((word >> 4) & 0x00c000c0u);
  pairs[3] = bf16_pair_product(both, factor);
}

// What a lane gives to both products of a step.
struct StepRows {
  u32 words[2][4];

  ENGINE_METHOD void unpack(const RowBlocks& blocks, const RowFactors& factors, int word) {
    u32 pairs[2][4];
#pragma unroll
    for (int row = 0; row < 2; row++) {
      const Words4& codes = blocks.codes[row];
      unpack_pairs(word == 0 ? codes.x : word == 1 ? codes.y : word == 2 ? codes.z : codes.w, factors.first[row],
                   pairs[row]);
    }
    if (factors.hasSecond) {
#pragma unroll
      for (int row = 0; row < 2; row++) {
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
          const u32 factor = blocks.scales[row] > kLargestScale ? factors.second[row] : both_halves(0x3f80u);
          pairs[row][pair] = bf16_pair_product(pairs[row][pair], factor);
        }
      }
    }
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
#pragma unroll
      for (int row = 0; row < 2; row++) words[pair / 2][pair % 2 * 2 + row] = pairs[row][pair];
    }
  }
};

// Arranged rows of COLUMNS columns in kTerms terms, on their way to shared memory. Of a step, a thread brings kOwn granules.
template <int COLUMNS>
struct ArrangedTokens {
  static constexpr int kOwn = (kTokenGranules + kThreads - 1) / kThreads;
  static constexpr int kStepBytes = kTileColumns * 2;
  static constexpr int kTermBytes = kArrangedColumns<COLUMNS> * 2;

  // What comes next of each granule's row, and where it goes in the first stage. Of tokens that there are not, nothing is
  // brought: nobody reads them.
  const u8* next[kOwn];
  bool isLive[kOwn];
  Words4* place;

  // The token of the block, and the granule of a stage, that a thread's granule `own` is of.
  ROUTER_INLINE int granule_of(int own) { return static_cast<int>(thread_index()) + own * kThreads; }
  ROUTER_INLINE int token_of(int own) { return granule_of(own) % kTermGranules / kTilePieces; }

  ENGINE_METHOD void begin(Words4* shared) {
    static_assert(kThreads % kTileGranules == 0, "a thread's granules are as far apart as its tiles");
    const int inTile = granule_of(0) % kTileGranules;
    place = shared + granule_of(0) - inTile + tile_granule(inTile / kTilePieces, inTile % kTilePieces);
  }
  // Of `count` tokens; `row` is that of token_of(own), if there is one.
  ENGINE_METHOD void begin_row(int own, const u8* row, int count) {
    isLive[own] = granule_of(own) < kTokenGranules && token_of(own) < count;
    next[own] = row + granule_of(own) / kTermGranules * kTermBytes + granule_of(own) % kTilePieces * 16;
  }

  // Asks for the step of a word of the four at hand, into the stage of its number.
  ENGINE_METHOD void ask(int word) {
#pragma unroll
    for (int own = 0; own < kOwn; own++) {
      if (isLive[own]) copy_to_shared(place + word * kTokenGranules + own * kThreads, next[own] + word * kStepBytes);
    }
  }
  ENGINE_METHOD void turn_to_next_four() {
#pragma unroll
    for (int own = 0; own < kOwn; own++) next[own] += kStages * kStepBytes;
  }
};

// Sums of the block's tokens and a lane's two rows.
struct RowGroupSums {
  float sums[kSums][4];

  // Of as few tokens as there is a product for.
  template <int COLUMNS>
  ENGINE_METHOD void multiply(ArrangedTokens<COLUMNS>& tokens, const Words4* shared, const LaneRows<COLUMNS>& rows,
                              int count) {
#pragma unroll
    for (int i = 0; i < kSums; i++) {
#pragma unroll
      for (int j = 0; j < 4; j++) sums[i][j] = 0.0f;
    }
#pragma unroll
    for (int word = 0; word < kStages - 1; word++) {
      tokens.ask(word);
      commit_copies();
    }
    if constexpr (kBlockTokens > 32) {
      if (count <= 32) return add_fours<32>(tokens, shared, rows);
    }
    if constexpr (kBlockTokens > 64) {
      if (count <= 64) return add_fours<64>(tokens, shared, rows);
    }
    add_fours<kBlockTokens>(tokens, shared, rows);
  }

  template <int TOKENS, int COLUMNS>
  ENGINE_METHOD void add_fours(ArrangedTokens<COLUMNS>& tokens, const Words4* shared, const LaneRows<COLUMNS>& rows) {
    using Rows = LaneRows<COLUMNS>;
    RowBlocks blocks = rows.load(0);
    RowFactors factors;
    factors.take(blocks.scales, Rows::block_of(0) < Rows::kBlocks);
    StepRows stepRows[2];
    stepRows[0].unpack(blocks, factors, 0);
#pragma unroll 1
    for (int four = 0; four < Rows::kFours; four++) {
      // Behind the last one it is asked for again.
      const bool hasNext = four + 1 < Rows::kFours;
      const int next = hasNext ? four + 1 : four;
      const RowBlocks nextBlocks = rows.load(next);
#pragma unroll
      for (int word = 0; word < 4; word++) {
        wait_for_copies<kStages - 2>();
        show_to_groups();
        // Past the barrier nobody reads the step before any more: what comes in its place may be written.
        end_group_products<0>();
        block_barrier();
        begin_group_products();
#pragma unroll
        for (int term = 0; term < kTerms; term++) {
          const Words4* ofTerm = shared + word * kTokenGranules + term * kTermGranules;
#pragma unroll
          for (int step = 0; step < 2; step++) {
            add_row_group_products<TOKENS>(sums, stepRows[word % 2].words[step], ofTerm, step);
          }
        }
        close_group_products();
        if (word == 0) {
          tokens.ask(kStages - 1);
          tokens.turn_to_next_four();
        } else if (hasNext) {
          tokens.ask(word - 1);
        }
        commit_copies();
        if (word == 3) {
          blocks = nextBlocks;
          factors.take(blocks.scales, Rows::block_of(next) < Rows::kBlocks);
        }
        stepRows[(word + 1) % 2].unpack(blocks, factors, (word + 1) % 4);
      }
    }
    end_group_products<0>();
  }
};

}  // namespace ROUTER_NAMESPACE
