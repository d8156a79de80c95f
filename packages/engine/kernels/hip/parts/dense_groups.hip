// Groups of 16 rows of a bf16 matrix times f32 vectors, by products of bf16 tiles with f32 sums. A whole block works on
// KERNEL_GROUPS groups, so that few rows have many loads under way, and each weight is read once for all vectors of a
// tile. How the vectors come is in dense_values_shared.hip and dense_values_streamed.hip, of which a kernel has one.
//
// A vector goes in as two bf16 terms, together 16 bits of each value, whose sums are formed apart. Columns of the matrix
// need no order of their own, so that a lane's eight neighbouring ones are what it gives to two products: lane 4 * g + c
// has columns 8c .. 8c + 7 of a piece (dense_pieces.hip), of rows g and g + 8 and of vector g. The number of columns alone
// decides how a sum is formed, whatever the number of vectors.

namespace ROUTER_NAMESPACE {

static_assert(kTeams == kDenseTeams, "eight teams share a group");

// What the teams' sums of a block are in shared memory: of each team, vector and row. The rows of a vector are set apart
// so that lanes write theirs to different banks.
constexpr int kSumStride = kBlockRows + 4;
struct DenseSums {
  float sums[kTeams][KERNEL_VECTORS][kSumStride];
  float squares[kTeams][KERNEL_VECTORS];

  // Of all teams, in their order.
  ENGINE_METHOD float sum_of(int vector, int row) const {
    float sum = 0.0f;
#pragma unroll
    for (int team = 0; team < kTeams; team++) sum += sums[team][vector][row];
    return sum;
  }
  ENGINE_METHOD float squares_of(int vector) const {
    float sum = 0.0f;
#pragma unroll
    for (int team = 0; team < kTeams; team++) sum += squares[team][vector];
    return sum;
  }
};

// The pieces of a row as teams take them, one a turn.
template <int COLUMNS>
struct DensePieces {
  static_assert(COLUMNS % kPieceOfColumns == 0, "rows end in the middle of a piece");
  static constexpr int kPieces = COLUMNS / kPieceOfColumns;
  static constexpr int kTurns = kPieceTurns<COLUMNS>;

  ROUTER_INLINE int piece_of(int turn) { return dense_piece(team_of_block(), turn); }
  ROUTER_INLINE bool has_piece(int turn) { return dense_piece(kTeams - 1, turn) < kPieces || piece_of(turn) < kPieces; }
  // The lane's first column.
  ROUTER_INLINE int column_of(int turn) { return piece_of(turn) * kPieceOfColumns + lane_of_team() % 4 * kLaneColumns; }
};

template <int COLUMNS>
struct DenseGroups : DensePieces<COLUMNS> {
  using Pieces = DensePieces<COLUMNS>;
  static constexpr int kTurns = Pieces::kTurns;
  // Turns whose weights are asked for before they are used.
  static constexpr int kAhead = KERNEL_AHEAD < kTurns ? KERNEL_AHEAD : kTurns;

  // Where the lane's columns of rows g and g + 8 of each group begin.
  const u8* rows[KERNEL_GROUPS][2];
  Words4 pending[kAhead][KERNEL_GROUPS][2];
  float sums[KERNEL_GROUPS][kProducts][kDenseTerms][4];

  // Asks for the first turns' weights: they depend on no kernel before. `row_of(group, row)` says which row of the
  // matrix row 0 .. 15 of a group is.
  template <class RowOf>
  ENGINE_METHOD void begin(const u8* weight, RowOf row_of) {
#pragma unroll
    for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = row_of(group, half * 8 + lane_of_team() / 4);
        rows[group][half] = weight + (static_cast<u64>(row) * COLUMNS + lane_of_team() % 4 * kLaneColumns) * 2;
      }
    }
#pragma unroll
    for (int ahead = 0; ahead < kAhead; ahead++) load(ahead, pending[ahead]);
  }

  ENGINE_METHOD void load(int turn, Words4 (&words)[KERNEL_GROUPS][2]) const {
    if (!Pieces::has_piece(turn)) return;
#pragma unroll
    for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        words[group][half] = load_streamed_words4(rows[group][half] + Pieces::piece_of(turn) * kPieceOfColumns * 2);
      }
    }
  }

  // Multiplies with what `values` brings. What the teams leave in `shared` is whole after a barrier.
  template <class Values>
  ENGINE_METHOD void multiply(Values& values, DenseSums& shared) {
#pragma unroll
    for (int i = 0; i < KERNEL_GROUPS * kProducts * kDenseTerms * 4; i++) (&sums[0][0][0][0])[i] = 0.0f;
    // Not unrolled: compilers would ask for all of the rows at once, and run out of registers.
#pragma unroll 1
    for (int firstTurn = 0; firstTurn < kTurns; firstTurn += kAhead) {
#pragma unroll
      for (int ahead = 0; ahead < kAhead; ahead++) {
        const int turn = firstTurn + ahead;
        // Of a whole team, so that all of its lanes take part in a product.
        if (!Pieces::has_piece(turn)) continue;
        Words4 words[KERNEL_GROUPS][2];
#pragma unroll
        for (int i = 0; i < 2 * KERNEL_GROUPS; i++) words[i / 2][i % 2] = pending[ahead][i / 2][i % 2];
        load(turn + kAhead, pending[ahead]);
        values.each(turn, [&](int product, const DenseTerms& terms) { add_product(words, product, terms); });
      }
    }
    leave(shared);
  }

  ENGINE_METHOD void add_product(const Words4 (&words)[KERNEL_GROUPS][2], int product, const DenseTerms& terms) {
#pragma unroll
    for (int group = 0; group < KERNEL_GROUPS; group++) {
      const Words4 upper = words[group][0];
      const Words4 lower = words[group][1];
#pragma unroll
      for (int term = 0; term < kDenseTerms; term++) {
        const Words4 own = terms.words[term];
        float(&sum)[4] = sums[group][product][term];
        add_bf16_product(sum, {upper.x, lower.x, upper.y, lower.y}, {own.x, own.y});
        add_bf16_product(sum, {upper.z, lower.z, upper.w, lower.w}, {own.z, own.w});
      }
    }
  }

  // Of lane 4 * g + c: rows g and g + 8, vectors 2c and 2c + 1 of each product.
  ENGINE_METHOD void leave(DenseSums& shared) const {
    const int lane = lane_of_team();
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
#pragma unroll
      for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int vector = product * kProductVectors + lane % 4 * 2 + i % 2;
          const int row = group * kDenseGroupRows + i / 2 * 8 + lane / 4;
          if (vector >= KERNEL_VECTORS) continue;
          shared.sums[team_of_block()][vector][row] =
              rounded_sum(sums[group][product][0][i], sums[group][product][1][i]);
        }
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
