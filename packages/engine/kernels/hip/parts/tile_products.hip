// Products of a block of tokens with a block of a matrix's rows, by matrix tiles: kBlockTokens x kBlockRows sums over
// all columns, in waves of kTokenTiles x kRowTiles tiles each. Columns are taken 32 at a time, in their order: the number
// of columns alone decides how a sum is formed. wave_products.hip multiplies them, or group_products.hip where four waves do
// it together (KERNEL_WAVE_GROUPS).
//
// Tokens come in KERNEL_TERMS terms of bf16: each is what the rounding of those before has left, so that two together have 16
// bits of each number, and three all of them. Their products are added to one sum, a step's first term before its second.
//
// Both operands come through shared memory, in tiles of a step of 32 columns. Where copies to shared memory go on by
// themselves, several steps are under way; else a step's bytes wait in registers while the step before is multiplied.
//
// Which sums a lane gets is up to the tiles; rows are put into them so that a lane's rows of a token are neighbours.

namespace ROUTER_NAMESPACE {

// Terms of the tokens. A row of them has all columns of the first before those of the second.
constexpr int kTerms = KERNEL_TERMS;

constexpr int kBlockTokens = KERNEL_TOKENS;
constexpr int kBlockRows = 128;
constexpr int kTermGranules = kBlockTokens / kTileSize * kTileGranules;
constexpr int kTokenGranules = kTerms * kTermGranules;
constexpr int kWeightGranules = kBlockRows / kTileSize * kTileGranules;
constexpr int kWaves = kThreads / kWaveSize;
// Waves that share a block's tokens; the others have other tokens of it.
constexpr bool kInGroups = KERNEL_WAVE_GROUPS != 0;
constexpr int kRowWaves = kInGroups ? 1 : 2;
constexpr int kTokenTiles = kBlockTokens / kTileSize / (kWaves / kRowWaves);
constexpr int kRowTiles = kBlockRows / kTileSize / kRowWaves;
constexpr int kWaveRows = kRowTiles * kTileSize;
static_assert(kWaves * kWaveSize == kThreads, "blocks have whole waves");
static_assert(kWaves / kRowWaves * kTokenTiles * kTileSize == kBlockTokens, "waves share a block out");

// Steps of an operand that are in shared memory at once: tokens lie first in a block's memory, weights behind them.
constexpr int kStages = KERNEL_STAGES;
// Two are enough where a step waits in registers while the step before it is multiplied; of more, copies are under way.
constexpr bool kCopiesAhead = kStages > 2;

// Of the rows of a wave, a lane has kLaneRows of each of its tokens.
constexpr int kLaneRows = kRowTiles * kRowsPerPart;

// How a wave's rows are dealt: neighbours to a lane, or so that of every kSpanRows of them a lane has some of the first half
// and those that are half of them further.
enum class RowOrder { neighbours, halves };
constexpr int kSpanRows = 64;
constexpr int kSpanLaneRows = kSpanRows / kTileParts;

// The row, among the wave's, of a lane's row `index`.
template <RowOrder ORDER>
ROUTER_INLINE int wave_row(int part, int index) {
  if constexpr (ORDER == RowOrder::neighbours) return part * kLaneRows + index;
  constexpr int kHalf = kSpanLaneRows / 2;
  const int inSpan = index % kSpanLaneRows;
  return index / kSpanLaneRows * kSpanRows + inSpan / kHalf * (kSpanRows / 2) + part * kHalf + inSpan % kHalf;
}

// The row, among the block's, that is row `inTile` of the block's tile `tile`.
template <RowOrder ORDER>
ROUTER_INLINE int block_row(int tile, int inTile) {
  const int index = tile % kRowTiles * kRowsPerPart + index_in_part(inTile);
  return tile / kRowTiles * kWaveRows + wave_row<ORDER>(part_of_row(inTile), index);
}

ROUTER_INLINE int wave_of_block() { return static_cast<int>(thread_index() / kWaveSize); }
// The first row of a wave, and the first token of one of its tiles, among the block's.
ROUTER_INLINE int first_row_of_wave() { return wave_of_block() % kRowWaves * kWaveRows; }
ROUTER_INLINE int first_token_of_tile(int tile) {
  if constexpr (kInGroups) {
    const int group = wave_of_block() / kGroupWaves;
    return (group * kTokenTiles + tile) * kGroupTokens + wave_of_block() % kGroupWaves * kTileSize;
  }
  return (wave_of_block() / kRowWaves * kTokenTiles + tile) * kTileSize;
}

// An operand in bf16, of GRANULES a step and term. A thread brings kOwn granules a step of each term, of rows whose
// addresses it is told. It is asked for its STEPS steps in their order.
template <int STEPS, int GRANULES, int TERMS>
struct Bf16Operand {
  static constexpr int kOwn = GRANULES / kThreads;
  static constexpr int kBuffers = kStages;
  static constexpr int kRowBytes = kTileColumns * 2;
  static constexpr int kTermBytes = STEPS * kRowBytes;
  static constexpr bool kCopiesByItself = kCopiesAhead;
  static_assert(kThreads % kTileGranules == 0, "a thread's granules are as far apart as its tiles");
  static_assert(kOwn * kThreads == GRANULES, "threads bring as many granules each");

  // A thread's granules are as many rows apart.
  static constexpr int kRowsApart = kThreads / kTilePieces;

  // What comes next of each row; where the first row's granule goes in the first buffer; the buffer that comes next. Rows of
  // granules past the first `live` are not brought: nobody reads them.
  const u8* next[kOwn];
  int live;
  Words4* place;
  int buffer;
  Words4 pending[kCopiesAhead ? 1 : kOwn][TERMS];

  // The tile and the row of it that a thread's granule `own` is of.
  ROUTER_INLINE int tile_of(int own) { return granule_of(own) / kTileGranules; }
  ROUTER_INLINE int row_of(int own) { return granule_of(own) % kTileGranules / kTilePieces; }
  ROUTER_INLINE int granule_of(int own) { return static_cast<int>(thread_index()) + own * kThreads; }

  // Of so many rows.
  ENGINE_METHOD void begin(Words4* shared, int rows) {
    live = smaller((rows + kRowsApart - 1) / kRowsApart, kOwn);
    place = shared + tile_of(0) * kTileGranules + tile_granule(row_of(0), granule_of(0) % kTilePieces);
    buffer = 0;
  }
  ENGINE_METHOD void begin_row(int own, const u8* row) { next[own] = row + granule_of(own) % kTilePieces * 16; }

  ENGINE_METHOD void ask() {
#pragma unroll
    for (int own = 0; own < kOwn; own++) {
      if (own >= live) continue;
#pragma unroll
      for (int term = 0; term < TERMS; term++) {
        const u8* from = next[own] + term * kTermBytes;
        if constexpr (kCopiesAhead) copy_to_shared(granule(own, term), from);
        else pending[own][term] = *reinterpret_cast<const Words4*>(from);
      }
      next[own] += kRowBytes;
    }
    if constexpr (kCopiesAhead) turn_buffer();
  }
  ENGINE_METHOD void deliver() {
    if constexpr (!kCopiesAhead) {
#pragma unroll
      for (int own = 0; own < kOwn; own++) {
        if (own >= live) continue;
#pragma unroll
        for (int term = 0; term < TERMS; term++) *granule(own, term) = pending[own][term];
      }
      turn_buffer();
    }
  }
  // Where a granule goes in the buffer that comes next.
  ENGINE_METHOD Words4* granule(int own, int term) const {
    return place + (buffer * TERMS + term) * GRANULES + own * kThreads;
  }
  ENGINE_METHOD void turn_buffer() { buffer = buffer + 1 == kBuffers ? 0 : buffer + 1; }
};

// What is under way when the block comes to step 0.
template <class Operand>
ROUTER_INLINE void begin_operand(Operand& operand, int steps) {
  if constexpr (!Operand::kCopiesByItself) {
    operand.ask();
    operand.deliver();
    if (steps > 1) operand.ask();
  }
}
// Past the barrier at the beginning of a step: copies of one further on may begin.
template <class Operand>
ROUTER_INLINE void before_step(Operand& operand, int further, int steps) {
  if constexpr (Operand::kCopiesByItself) {
    if (further < steps) operand.ask();
  }
}
// What waited in registers goes where the step before was.
template <class Operand>
ROUTER_INLINE void after_step(Operand& operand, int step, int steps) {
  if constexpr (!Operand::kCopiesByItself) {
    if (step + 1 < steps) operand.deliver();
    if (step + 2 < steps) operand.ask();
  }
}

// How many of the wave's tiles of tokens have any of the block's `count`, those of the other waves of its group included.
ROUTER_INLINE int tiles_of_wave(int count) {
  constexpr int kTokens = kInGroups ? kGroupTokens : kTileSize;
  const int first = first_token_of_tile(0) / kTokens * kTokens;
  return (smaller(larger(count - first, 0), kTokenTiles * kTokens) + kTokens - 1) / kTokens;
}

// The rows of a bf16 matrix of ROWS rows that a block multiplies with, from `firstRow` on.
template <int ROWS, int COLUMNS, RowOrder ORDER>
ROUTER_INLINE auto weight_operand(const u8* matrix, int firstRow, Words4* shared) {
  using Operand = Bf16Operand<COLUMNS / kTileColumns, kWeightGranules, 1>;
  Operand operand;
  operand.begin(shared, kBlockRows);
#pragma unroll
  for (int own = 0; own < Operand::kOwn; own++) {
    const int row = firstRow + block_row<ORDER>(Operand::tile_of(own), Operand::row_of(own));
    operand.begin_row(own, matrix + static_cast<u64>(smaller(row, ROWS - 1)) * COLUMNS * 2);
  }
  return operand;
}

template <int COLUMNS>
using TokenOperand = Bf16Operand<COLUMNS / kTileColumns, kTermGranules, kTerms>;

// Tokens of rows of COLUMNS numbers in kTerms terms, from `first` on; past the last of `count` they repeat it.
template <int COLUMNS>
ROUTER_INLINE TokenOperand<COLUMNS> token_operand(const u8* rows, int first, int count, Words4* shared) {
  using Operand = TokenOperand<COLUMNS>;
  Operand operand;
  operand.begin(shared, count);
#pragma unroll
  for (int own = 0; own < Operand::kOwn; own++) {
    const int token = first + smaller(Operand::tile_of(own) * kTileSize + Operand::row_of(own), count - 1);
    operand.begin_row(own, rows + static_cast<u64>(token) * kTerms * COLUMNS * 2);
  }
  return operand;
}

// Where a block works: blocks of the same tokens follow each other.
struct BlockPlace {
  int token;
  int row;
};

template <int ROWS>
ROUTER_INLINE BlockPlace block_place() {
  constexpr int kRowBlocks = (ROWS + kBlockRows - 1) / kBlockRows;
  const int block = static_cast<int>(block_index());
  return {block / kRowBlocks * kBlockTokens, block % kRowBlocks * kBlockRows};
}

}  // namespace ROUTER_NAMESPACE
