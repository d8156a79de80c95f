// Groups of 16 rows of a bf16 matrix times f32 vectors, by products of bf16 tiles with f32 sums. A whole block works on
// KERNEL_GROUPS groups, so that few rows have many loads under way, and each weight is read once for all vectors of a
// tile.
//
// A vector goes in as two bf16 terms, together 16 bits of each value, whose sums are formed apart. Columns of the matrix
// need no order of their own, so that a lane's eight neighbouring ones are what it gives to two products: lane 4 * g + c
// has columns 8c .. 8c + 7 of a piece of 32, of rows g and g + 8 and of vector g. Teams take every eighth piece, and
// their sums are added in the order of the teams: the number of columns alone decides how a sum is formed, whatever the
// number of vectors.

namespace ROUTER_NAMESPACE {

constexpr int kDenseGroupRows = 16;
constexpr int kBlockRows = KERNEL_GROUPS * kDenseGroupRows;
constexpr int kDenseTerms = 2;
// Vectors that are columns of one product, and products beside each other.
constexpr int kProductVectors = 8;
constexpr int kProducts = KERNEL_VECTORS / kProductVectors;
static_assert(KERNEL_VECTORS % kProductVectors == 0, "tiles are whole products");
static_assert(kTeams == 8, "eight teams share a group");

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

// Where a block works. Blocks of the same rows follow each other, so that weights come from memory once.
struct DensePlace {
  int row;
  int vector;
};
ROUTER_INLINE DensePlace dense_place(u32 tiles) {
  const u32 block = block_index();
  return {static_cast<int>(block / tiles) * kBlockRows, static_cast<int>(block % tiles) * KERNEL_VECTORS};
}

// The vectors of a lane; null where there is none.
struct DenseVectors {
  const float* own[kProducts];
};

// Vector `index` of a block's tile for each product of the lane, by `vector_of(index)`.
template <class VectorOf>
ROUTER_INLINE DenseVectors dense_vectors(DensePlace place, int count, VectorOf vector_of) {
  DenseVectors vectors;
#pragma unroll
  for (int product = 0; product < kProducts; product++) {
    const int vector = place.vector + product * kProductVectors + lane_of_team() / 4;
    vectors.own[product] = vector < count ? vector_of(vector) : nullptr;
  }
  return vectors;
}

template <int COLUMNS>
struct DenseGroups {
  static constexpr int kPieceColumns = 32;
  static constexpr int kLaneColumns = 8;
  static_assert(COLUMNS % kPieceColumns == 0, "rows end in the middle of a piece");
  static constexpr int kPieces = COLUMNS / kPieceColumns;
  static constexpr int kTurns = (kPieces + kTeams - 1) / kTeams;
  // Turns whose weights are asked for before they are used.
  static constexpr int kAhead = KERNEL_AHEAD < kTurns ? KERNEL_AHEAD : kTurns;

  // Where the lane's columns of rows g and g + 8 of each group begin.
  const u8* rows[KERNEL_GROUPS][2];
  Words4 pending[kAhead][KERNEL_GROUPS][2];
  float sums[KERNEL_GROUPS][kProducts][kDenseTerms][4];
  float squares[kProducts];

  ROUTER_INLINE int piece_of(int turn) { return turn * kTeams + team_of_block(); }
  ROUTER_INLINE bool has_piece(int turn) { return (turn + 1) * kTeams <= kPieces || piece_of(turn) < kPieces; }
  ROUTER_INLINE int column_of(int turn) { return piece_of(turn) * kPieceColumns + lane_of_team() % 4 * kLaneColumns; }

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
    if (!has_piece(turn)) return;
#pragma unroll
    for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        words[group][half] = load_streamed_words4(rows[group][half] + piece_of(turn) * kPieceColumns * 2);
      }
    }
  }

  // NORM multiplies each vector with `gain` first and forms the sum of its squares. What the teams leave in `shared` is
  // whole after the barrier at the end.
  template <bool NORM>
  ENGINE_METHOD void multiply(const DenseVectors& vectors, const float* gain, DenseSums& shared) {
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      squares[product] = 0.0f;
#pragma unroll
      for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
        for (int i = 0; i < 4 * kDenseTerms; i++) sums[group][product][i / 4][i % 4] = 0.0f;
      }
    }
    // Not unrolled: compilers would ask for all of the rows at once, and run out of registers.
#pragma unroll 1
    for (int firstTurn = 0; firstTurn < kTurns; firstTurn += kAhead) {
#pragma unroll
      for (int ahead = 0; ahead < kAhead; ahead++) {
        const int turn = firstTurn + ahead;
        // Of a whole team, so that all of its lanes take part in a product.
        if (!has_piece(turn)) continue;
        Words4 words[KERNEL_GROUPS][2];
#pragma unroll
        for (int i = 0; i < 2 * KERNEL_GROUPS; i++) words[i / 2][i % 2] = pending[ahead][i / 2][i % 2];
        load(turn + kAhead, pending[ahead]);
        add_piece<NORM>(words, vectors, gain, column_of(turn));
      }
    }
    leave<NORM>(shared);
    block_barrier();
  }

  template <bool NORM>
  ENGINE_METHOD void add_piece(const Words4 (&words)[KERNEL_GROUPS][2], const DenseVectors& vectors, const float* gain,
                               int column) {
    float gains[kLaneColumns];
    if constexpr (NORM) load_eight(gain + column, gains);
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      float values[kLaneColumns] = {};
      if (vectors.own[product] != nullptr) load_eight(vectors.own[product] + column, values);
      u32 terms[kDenseTerms][4];
#pragma unroll
      for (int pair = 0; pair < 4; pair++) {
        float low = values[2 * pair];
        float high = values[2 * pair + 1];
        if constexpr (NORM) {
          squares[product] = multiply_add(low, low, squares[product]);
          squares[product] = multiply_add(high, high, squares[product]);
          low = rounded_product(low, gains[2 * pair]);
          high = rounded_product(high, gains[2 * pair + 1]);
        }
#pragma unroll
        for (int term = 0; term < kDenseTerms; term++) {
          terms[term][pair] = nearest_bf16_pair(low, high);
          low = rounded_sum(low, -low_bf16(terms[term][pair]));
          high = rounded_sum(high, -high_bf16(terms[term][pair]));
        }
      }
#pragma unroll
      for (int group = 0; group < KERNEL_GROUPS; group++) {
        const Words4 upper = words[group][0];
        const Words4 lower = words[group][1];
#pragma unroll
        for (int term = 0; term < kDenseTerms; term++) {
          float(&sum)[4] = sums[group][product][term];
          add_bf16_product(sum, {upper.x, lower.x, upper.y, lower.y}, {terms[term][0], terms[term][1]});
          add_bf16_product(sum, {upper.z, lower.z, upper.w, lower.w}, {terms[term][2], terms[term][3]});
        }
      }
    }
  }

  // Of lane 4 * g + c: rows g and g + 8, vectors 2c and 2c + 1 of each product.
  template <bool NORM>
  ENGINE_METHOD void leave(DenseSums& shared) const {
    const int lane = lane_of_team();
    const int team = team_of_block();
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      if constexpr (NORM) {
        const float square = token_sum<4>(squares[product]);
        if (lane % 4 == 0) shared.squares[team][product * kProductVectors + lane / 4] = square;
      }
#pragma unroll
      for (int group = 0; group < KERNEL_GROUPS; group++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int vector = product * kProductVectors + lane % 4 * 2 + i % 2;
          const int row = group * kDenseGroupRows + i / 2 * 8 + lane / 4;
          shared.sums[team][vector][row] = rounded_sum(sums[group][product][0][i], sums[group][product][1][i]);
        }
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
