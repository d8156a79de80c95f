// Rows of a bf16 matrix times f32 vectors. A lane takes 8 neighbouring columns, then those 256 further on; the lanes'
// sums meet in a butterfly. So the number of columns alone decides in which order a sum is formed: how many rows a team
// works on, and how many vectors, changes no bit.

namespace ROUTER_NAMESPACE {

constexpr int kColumnsPerLane = 8;

// ROW_STRIDE is the distance of a team's rows from each other, in rows.
template <int COLUMNS, int ROWS, int VECTORS, int AHEAD, int ROW_STRIDE = 1>
struct DenseRows {
  static_assert(COLUMNS % kColumnsPerLane == 0, "rows end in the middle of a load");
  static constexpr int kPieces = COLUMNS / kColumnsPerLane;
  static constexpr int kTurns = (kPieces + kTeam - 1) / kTeam;
  // Turns whose weights are asked for before they are used.
  static constexpr int kAhead = AHEAD < kTurns ? AHEAD : kTurns;

  Words4 pending[kAhead][ROWS];
  float sums[ROWS][VECTORS];
  // Sums of the vectors' own squares, where they are normed.
  float squares[VECTORS];
  // What a lane of the team writes: the sum of row lane % ROWS and vector lane / ROWS, and that vector's squares.
  float ownSum;
  float ownSquares;

  ROUTER_INLINE bool has_piece(int turn) { return turn * kTeam + lane_of_team() < kPieces; }

  // Asks for the weights of a turn.
  ENGINE_METHOD void load(const u8* rows, int turn, Words4 (&words)[ROWS]) {
    const int column = (turn * kTeam + lane_of_team()) * kColumnsPerLane;
    if (!has_piece(turn)) return;
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
      words[row] = load_streamed_words4(rows + (row * ROW_STRIDE * COLUMNS + column) * 2);
    }
  }

  // Asks for the first turns' weights: they depend on no kernel before.
  ENGINE_METHOD void begin(const u8* rows) {
#pragma unroll
    for (int ahead = 0; ahead < kAhead; ahead++) load(rows, ahead, pending[ahead]);
  }

  // NORM multiplies each vector with `gain` first and forms the sum of its squares.
  template <bool NORM>
  ENGINE_METHOD void multiply(const u8* rows, const float* const (&vectors)[VECTORS], const float* gain) {
#pragma unroll
    for (int vector = 0; vector < VECTORS; vector++) {
      squares[vector] = 0.0f;
#pragma unroll
      for (int row = 0; row < ROWS; row++) sums[row][vector] = 0.0f;
    }
    // Not unrolled: compilers would ask for all of the rows at once, and run out of registers.
#pragma unroll 1
    for (int firstTurn = 0; firstTurn < kTurns; firstTurn += kAhead) {
#pragma unroll
      for (int ahead = 0; ahead < kAhead; ahead++) {
        const int turn = firstTurn + ahead;
        Words4 words[ROWS];
#pragma unroll
        for (int row = 0; row < ROWS; row++) words[row] = pending[ahead][row];
        load(rows, turn + kAhead, pending[ahead]);
        if (has_piece(turn)) {
          add_piece<NORM>(words, vectors, gain, (turn * kTeam + lane_of_team()) * kColumnsPerLane);
        }
      }
    }
    // Lanes choose theirs by comparing as sums are made: registers have no index.
    ownSum = 0.0f;
    ownSquares = 0.0f;
#pragma unroll
    for (int vector = 0; vector < VECTORS; vector++) {
      if constexpr (NORM) {
        squares[vector] = team_sum(squares[vector]);
        ownSquares = lane_of_team() / ROWS == vector ? squares[vector] : ownSquares;
      }
#pragma unroll
      for (int row = 0; row < ROWS; row++) {
        const float sum = team_sum(sums[row][vector]);
        ownSum = lane_of_team() == vector * ROWS + row ? sum : ownSum;
      }
    }
  }

  template <bool NORM>
  ENGINE_METHOD void add_piece(const Words4 (&words)[ROWS], const float* const (&vectors)[VECTORS], const float* gain,
                               int column) {
    float weights[ROWS][kColumnsPerLane];
#pragma unroll
    for (int row = 0; row < ROWS; row++) widen_eight(words[row], weights[row]);
    float gains[kColumnsPerLane];
    if constexpr (NORM) load_eight(gain + column, gains);
#pragma unroll
    for (int vector = 0; vector < VECTORS; vector++) {
      float values[kColumnsPerLane];
      load_eight(vectors[vector] + column, values);
#pragma unroll
      for (int i = 0; i < kColumnsPerLane; i++) {
        if constexpr (NORM) {
          squares[vector] = multiply_add(values[i], values[i], squares[vector]);
          values[i] = rounded_product(values[i], gains[i]);
        }
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
          sums[row][vector] = multiply_add(weights[row][i], values[i], sums[row][vector]);
        }
      }
    }
  }
};

// What a lane writes, where it writes anything: see DenseRows::ownSum.
struct OwnPlace {
  int row;
  int vector;
  bool isOwned;
};

// Where a block of a dense kernel works: KERNEL_ROWS rows for each of its teams, and a tile of KERNEL_VECTORS vectors.
// Blocks of the same rows follow each other, so that weights come from memory once.
struct DensePlace {
  int row;
  int vector;
};

ROUTER_INLINE DensePlace dense_place(u32 tiles) {
  const u32 block = block_index();
  return {static_cast<int>((block / tiles) * kTeams + team_of_block()) * KERNEL_ROWS,
          static_cast<int>(block % tiles) * KERNEL_VECTORS};
}

ROUTER_INLINE OwnPlace own_place(DensePlace place, int count) {
  const int lane = lane_of_team();
  const int vector = place.vector + lane / KERNEL_ROWS;
  return {place.row + lane % KERNEL_ROWS, vector, lane < KERNEL_ROWS * KERNEL_VECTORS && vector < count};
}

}  // namespace ROUTER_NAMESPACE
