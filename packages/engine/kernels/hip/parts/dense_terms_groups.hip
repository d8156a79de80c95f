// Groups of 16 rows of a bf16 matrix times many vectors, which another kernel has left in two terms (dense_terms.hip), by
// products of bf16 tiles with f32 sums: the sums are those of dense_groups.hip. A team has one of KERNEL_GROUPS groups, and
// one slice of its columns: what one or more of the eight teams of dense_groups.hip have, one after the other. Vectors come to
// shared memory by bulk copies, a piece at a time for the teams of a slice, which all read it.

namespace ROUTER_NAMESPACE {

constexpr bool kTakesWantedRows = true;
constexpr int kSlices = kTeams / KERNEL_GROUPS;
constexpr int kSliceTeams = kDenseTeams / kSlices;
static_assert(kSlices * KERNEL_GROUPS == kTeams && kSlices * kSliceTeams == kDenseTeams, "teams have whole slices");
static_assert(KERNEL_VECTORS % kProductVectors == 0 && kPieceOfColumns == kColumnsOfTerms, "vectors come in blocks");

constexpr int kStages = KERNEL_STAGES;
constexpr int kStageBytes = kProducts * kPieceBytes;
// The rows of a vector are set apart so that lanes write theirs to different banks.
constexpr int kSumStride = kBlockRows + 4;
constexpr int kSumsOfSlice = KERNEL_VECTORS * kSumStride;
// Sums of a slice's teams but its last; where one slice has all columns, those of all teams so far.
constexpr int kKeptSums = kSlices == 1 ? 1 : kSliceTeams - 1;
constexpr int kKeptFloats = kSlices * kKeptSums * kSumsOfSlice;
constexpr int kLastFloats = kSlices == 1 ? 0 : kSlices * kSumsOfSlice;
constexpr int kStagesBytes = kSlices * kStages * kStageBytes;
// The last teams' sums take the place of the stages.
static_assert(kKeptFloats * 4 + (kStagesBytes > kLastFloats * 4 ? kStagesBytes : kLastFloats * 4) <= KERNEL_SHARED_BYTES,
              "a block has not that much memory");

ROUTER_INLINE int group_of_team() { return team_of_block() % KERNEL_GROUPS; }
ROUTER_INLINE int slice_of_team() { return team_of_block() / KERNEL_GROUPS; }
ROUTER_INLINE float* kept_sums(int slice, int index) {
  return reinterpret_cast<float*>(dynamic_memory()) + (slice * kKeptSums + index) * kSumsOfSlice;
}
ROUTER_INLINE float* last_sums(int slice) {
  return reinterpret_cast<float*>(dynamic_memory()) + kKeptFloats + slice * kSumsOfSlice;
}
ROUTER_INLINE u8* stage_memory(int slice, u32 stage) {
  return dynamic_memory() + kKeptFloats * 4 + (static_cast<u32>(slice) * kStages + stage) * kStageBytes;
}

struct DenseSums {
  float squares[KERNEL_VECTORS];

  // Of all teams, in their order.
  ENGINE_METHOD float sum_of(int vector, int row) const {
    const int at = vector * kSumStride + row;
    if constexpr (kSlices == 1) return kept_sums(0, 0)[at];
    float sum = 0.0f;
#pragma unroll
    for (int slice = 0; slice < kSlices; slice++) {
#pragma unroll
      for (int i = 0; i < kSliceTeams; i++) sum += (i < kKeptSums ? kept_sums(slice, i) : last_sums(slice))[at];
    }
    return sum;
  }
  ENGINE_METHOD float squares_of(int vector) const { return squares[vector]; }
};

// The pieces of a slice, in their order.
template <int COLUMNS>
struct PieceCursor {
  static_assert(COLUMNS % kPieceOfColumns == 0, "rows end in the middle of a piece");
  static constexpr int kPieces = COLUMNS / kPieceOfColumns;
  // Few columns may leave none for some teams.
  static constexpr bool kAllTeamsHave = kPieces >= kDenseTeams;
  int team;
  int piece;

  ENGINE_METHOD void begin() {
    team = slice_of_team() * kSliceTeams;
    piece = dense_piece(team, 0);
    pass_teams_without();
  }
  ENGINE_METHOD bool is_last_of_team() const { return piece + kDenseTeams >= kPieces; }
  ENGINE_METHOD void advance() {
    piece += kDenseTeams;
    if (piece < kPieces) return;
    team++;
    piece = dense_piece(team, 0);
    pass_teams_without();
  }
  ENGINE_METHOD void pass_teams_without() {
    if constexpr (kAllTeamsHave) return;
    while (is_there() && piece >= kPieces) {
      team++;
      piece = dense_piece(team, 0);
    }
  }
  ENGINE_METHOD bool is_there() const { return team < (slice_of_team() + 1) * kSliceTeams; }
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

  // What the lane gives to the products of the next piece, by `use(product, terms)`.
  template <class Use>
  ENGINE_METHOD void each(Use use) {
    const u32 stage = done % kStages;
    wait_for_phase(&shared->barriers[slice_of_team()][stage], done / kStages % 2);
    const u8* own = stage_memory(slice_of_team(), stage) + lane_of_team() * 16;
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      DenseTerms terms;
#pragma unroll
      for (int term = 0; term < kDenseTerms; term++) {
        terms.words[term] = *reinterpret_cast<const Words4*>(own + product * kPieceBytes + term * kTermBytes);
      }
      use(product, terms);
    }
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
  float sums[kProducts][kDenseTerms][4];

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
    for (int half = 0; half < 2; half++) words[half] = load_short_words4(rows[half] + next.piece * kPieceOfColumns * 2);
    next.advance();
  }

  // Multiplies with what `values` brings. What the teams leave in `shared` is whole after a barrier.
  template <class Values>
  ENGINE_METHOD void multiply(Values& values, DenseSums&) {
    PieceCursor<COLUMNS> cursor;
    cursor.begin();
    clear();
    if constexpr (kSlices == 1 || !PieceCursor<COLUMNS>::kAllTeamsHave) clear_kept();
#pragma unroll 1
    while (cursor.is_there()) {
#pragma unroll
      for (int i = 0; i < kAhead; i++) {
        if (!cursor.is_there()) continue;
        const Words4 upper = pending[i][0];
        const Words4 lower = pending[i][1];
        load_next(pending[i]);
        values.each([&](int product, const DenseTerms& terms) { add_product(upper, lower, product, terms); });
        if (cursor.is_last_of_team()) end_team(cursor.team - slice_of_team() * kSliceTeams);
        cursor.advance();
      }
    }
    if constexpr (kSlices == 1) return;
    // The stages are read to their end.
    block_barrier();
    each_sum([&](int at, float sum) { last_sums(slice_of_team())[at] = sum; });
  }

  ENGINE_METHOD void add_product(const Words4& upper, const Words4& lower, int product, const DenseTerms& terms) {
#pragma unroll
    for (int term = 0; term < kDenseTerms; term++) {
      const Words4 own = terms.words[term];
      float(&sum)[4] = sums[product][term];
      add_bf16_product(sum, {upper.x, lower.x, upper.y, lower.y}, {own.x, own.y});
      add_bf16_product(sum, {upper.z, lower.z, upper.w, lower.w}, {own.z, own.w});
    }
  }

  ENGINE_METHOD void clear() {
#pragma unroll
    for (int i = 0; i < kProducts * kDenseTerms * 4; i++) (&sums[0][0][0])[i] = 0.0f;
  }

  ENGINE_METHOD void clear_kept() {
#pragma unroll
    for (int i = 0; i < kKeptSums; i++) each_sum([&](int at, float) { kept_sums(slice_of_team(), i)[at] = 0.0f; });
  }

  // Keeps the sums of a slice's team, which is not its last, unless all are added up.
  ENGINE_METHOD void end_team(int index) {
    if constexpr (kSlices == 1) {
      each_sum([&](int at, float sum) { kept_sums(0, 0)[at] += sum; });
      clear();
    } else {
      if (index == kSliceTeams - 1) return;
      each_sum([&](int at, float sum) { kept_sums(slice_of_team(), index)[at] = sum; });
      clear();
    }
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
        use(vector * kSumStride + row, rounded_sum(sums[product][0][i], sums[product][1][i]));
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
