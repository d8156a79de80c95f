// Groups of 16 rows of a bf16 matrix times many vectors, which another kernel has left in two terms (dense_terms.hip), by
// products of four teams together with the weights in registers (matrix_row_groups.hip): the sums are those of dense_groups.hip.
// A team has one of KERNEL_GROUPS groups, and one slice of its columns: those of every kSlices-th of the eight teams of
// dense_groups.hip, one after the other, so that slices read what lies together at about the same time. Their sums are added in
// the order of those teams. Vectors come to shared memory by bulk copies, a piece at a time for the teams of a slice, which all
// read it.

namespace ROUTER_NAMESPACE {

constexpr bool kTakesWantedRows = true;
constexpr int kSlices = kTeams / KERNEL_GROUPS;
static_assert(kSlices * KERNEL_GROUPS == kTeams && kDenseTeams % kSlices == 0, "teams have whole slices");
static_assert(KERNEL_VECTORS % kProductVectors == 0 && kPieceOfColumns == kColumnsOfTerms, "vectors come in blocks");
static_assert(KERNEL_GROUPS % kGroupWaves == 0 && kTeam == kWaveSize, "teams that multiply together have the same slice");

constexpr int kStages = KERNEL_STAGES;
constexpr int kStageBytes = kProducts * kPieceBytes;
constexpr int kStagesBytes = kSlices * kStages * kStageBytes;
// The rows of a vector are set apart so that lanes write theirs to different banks.
constexpr int kSumStride = kBlockRows + 4;
static_assert(kStagesBytes + KERNEL_VECTORS * kSumStride * 4 <= KERNEL_SHARED_BYTES, "a block has not that much memory");

ROUTER_INLINE int group_of_team() { return team_of_block() % KERNEL_GROUPS; }
ROUTER_INLINE int slice_of_team() { return team_of_block() / KERNEL_GROUPS; }
ROUTER_INLINE u8* stage_memory(int slice, u32 stage) {
  return dynamic_memory() + (static_cast<u32>(slice) * kStages + stage) * kStageBytes;
}
// Of the teams of dense_groups.hip so far.
ROUTER_INLINE float* sum_memory() { return reinterpret_cast<float*>(dynamic_memory() + kStagesBytes); }

struct DenseSums {
  float squares[KERNEL_VECTORS];

  ENGINE_METHOD float sum_of(int vector, int row) const { return sum_memory()[vector * kSumStride + row]; }
  ENGINE_METHOD float squares_of(int vector) const { return squares[vector]; }
};

// The pieces of a slice, in their order.
template <int COLUMNS>
struct PieceCursor {
  static_assert(COLUMNS % kPieceOfColumns == 0, "rows end in the middle of a piece");
  static constexpr int kPieces = COLUMNS / kPieceOfColumns;
  static_assert(kPieces >= kDenseTeams, "every team has pieces");
  int team;
  int piece;

  ENGINE_METHOD void begin() {
    team = slice_of_team();
    piece = dense_piece(team, 0);
  }
  ENGINE_METHOD bool is_last_of_team() const { return piece + kDenseTeams >= kPieces; }
  ENGINE_METHOD void advance() {
    piece += kDenseTeams;
    if (piece < kPieces) return;
    team += kSlices;
    piece = dense_piece(team, 0);
  }
  ENGINE_METHOD bool is_there() const { return team < kDenseTeams; }
};

template <int COLUMNS, bool NORM>
struct DenseValues {
  // Beside the dynamic memory.
  struct Shared {
    BulkBarrier barriers[kSlices][kStages];
    // Teams that have read a stage, of all its pieces.
    u32 readers[kSlices][kStages];
  };

  const float* squares;
  const u8* terms;
  int firstVector;
  Shared* shared;
  PieceCursor<COLUMNS> ahead;
  // Pieces that were multiplied: which stage has the next one, and in which phase.
  u32 done;

  // Before the wait for the kernel before, which leaves them: the sums of the vectors' own squares.
  ENGINE_METHOD void begin(const float* ofSquares) { squares = ofSquares; }

  // Vectors from `vector` on, which begin at `vector_of(0)`. The whole block takes part.
  template <class VectorOf>
  ENGINE_METHOD void take(int vector, int, VectorOf vector_of, Shared& sharedValues) {
    const int thread = static_cast<int>(thread_index());
    shared = &sharedValues;
    firstVector = vector;
    terms = reinterpret_cast<const u8*>(vector_of(0));
    done = 0;
    if (thread < kSlices * kStages) {
      shared->readers[thread / kStages][thread % kStages] = 0;
      begin_phases(&shared->barriers[thread / kStages][thread % kStages]);
    }
    block_barrier();
    ahead.begin();
#pragma unroll
    for (u32 stage = 0; stage < kStages; stage++) {
      if (!ahead.is_there()) continue;
      if (group_of_team() == 0) ask_for_ahead(stage);
      ahead.advance();
    }
  }

  // The lanes of one team of a slice.
  ENGINE_METHOD void ask_for_ahead(u32 stage) const {
    BulkBarrier* barrier = &shared->barriers[slice_of_team()][stage];
    const int lane = lane_of_team();
    if (lane == 0) expect_bytes(barrier, kStageBytes);
    wave_has_read();
    if (lane >= kProducts) return;
    const u8* from = terms + (static_cast<u64>(lane) * PieceCursor<COLUMNS>::kPieces + ahead.piece) * kPieceBytes;
    copy_bulk(stage_memory(slice_of_team(), stage) + lane * kPieceBytes, from, kPieceBytes, barrier);
  }

  // Multiplies with the next piece, by `use(terms)`; its products have ended when that returns.
  template <class Use>
  ENGINE_METHOD void each(Use use) {
    const u32 stage = done % kStages;
    wait_for_phase(&shared->barriers[slice_of_team()][stage], done / kStages % 2);
    use(reinterpret_cast<const Words4*>(stage_memory(slice_of_team(), stage)));
    done++;
    wave_has_read();
    if (!ahead.is_there()) return;
    bool isLast = false;
    if (lane_of_team() == 0) {
      isLast = count_in_shared(&shared->readers[slice_of_team()][stage]) % KERNEL_GROUPS == KERNEL_GROUPS - 1;
    }
    if (is_any_in_wave(isLast)) ask_for_ahead(stage);
    ahead.advance();
  }

  ENGINE_METHOD void leave_squares(DenseSums& sums, Shared&) const {
    const int thread = static_cast<int>(thread_index());
    if (NORM && thread < KERNEL_VECTORS) sums.squares[thread] = squares[firstVector + thread];
  }
};

template <int COLUMNS>
struct DenseGroups {
  static constexpr int kAhead = KERNEL_AHEAD;

  // Where the lane's columns of rows g and g + 8 of its team's group begin.
  const u8* rows[2];
  PieceCursor<COLUMNS> next;
  Words4 pending[kAhead][2];
  float sums[kDenseTerms][kProducts][4];

  // Asks for the first weights: they depend on no kernel before. `row_of(group, row)` says which row of the matrix row
  // 0 .. 15 of a group is.
  template <class RowOf>
  ENGINE_METHOD void begin(const u8* weight, RowOf row_of) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row_of(group_of_team(), half * 8 + lane_of_team() / 4);
      rows[half] = weight + (static_cast<u64>(row) * COLUMNS + lane_of_team() % 4 * kLaneColumns) * 2;
    }
    next.begin();
#pragma unroll
    for (int i = 0; i < kAhead; i++) load_next(pending[i]);
  }

  ENGINE_METHOD void load_next(Words4 (&words)[2]) {
    if (!next.is_there()) return;
#pragma unroll
    for (int half = 0; half < 2; half++) words[half] = load_streamed_words4(rows[half] + next.piece * kPieceOfColumns * 2);
    next.advance();
  }

  // Multiplies with what `values` brings. What the teams leave in `shared` is whole after a barrier.
  template <class Values>
  ENGINE_METHOD void multiply(Values& values, DenseSums&) {
    PieceCursor<COLUMNS> cursor;
    cursor.begin();
    clear();
    if (slice_of_team() == 0) each_sum([&](int at, float) { sum_memory()[at] = 0.0f; });
#pragma unroll 1
    while (cursor.is_there()) {
#pragma unroll
      for (int i = 0; i < kAhead; i++) {
        if (!cursor.is_there()) continue;
        const Words4 upper = pending[i][0];
        const Words4 lower = pending[i][1];
        load_next(pending[i]);
        values.each([&](const Words4* terms) { add_piece(upper, lower, terms); });
        if (cursor.is_last_of_team()) end_team();
        cursor.advance();
      }
    }
  }

  ENGINE_METHOD void add_piece(const Words4& upper, const Words4& lower, const Words4* terms) {
    constexpr int kEightsApart = kPieceBytes / 16;
    const u32 rows[2][4] = {{upper.x, lower.x, upper.y, lower.y}, {upper.z, lower.z, upper.w, lower.w}};
    begin_group_products();
#pragma unroll
    for (int term = 0; term < kDenseTerms; term++) {
#pragma unroll
      for (int step = 0; step < 2; step++) {
        add_eights_products<KERNEL_VECTORS, kEightsApart>(sums[term], rows[step], terms + term * (kTermBytes / 16), step);
      }
    }
    close_group_products();
    end_group_products<0>();
  }

  ENGINE_METHOD void clear() {
#pragma unroll
    for (int i = 0; i < kProducts * kDenseTerms * 4; i++) (&sums[0][0][0])[i] = 0.0f;
  }

  // Adds up a team of each slice, in their order. Whole blocks call, as often as a slice has teams.
  ENGINE_METHOD void end_team() {
#pragma unroll 1
    for (int slice = 0; slice < kSlices; slice++) {
      if (slice == slice_of_team()) each_sum([&](int at, float sum) { sum_memory()[at] += sum; });
      if constexpr (kSlices > 1) block_barrier();
    }
    clear();
  }

  // Of lane 4 * g + c: rows g and g + 8, vectors 2c and 2c + 1 of each product.
  template <class Use>
  ENGINE_METHOD void each_sum(Use use) const {
    const int lane = lane_of_team();
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int vector = product * kProductVectors + lane % 4 * 2 + i % 2;
        const int row = group_of_team() * kDenseGroupRows + i / 2 * 8 + lane / 4;
        use(vector * kSumStride + row, rounded_sum(sums[0][product][i], sums[1][product][i]));
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
