// The gate projection: rows of the gate's weight, bf16 [E, H], times rows of hidden states, bf16 or f32 [T, H].
//
// A logit is the sum of 128 partial sums, one a lane. A lane takes pieces of 8 neighbouring columns, its own and then
// every 128th after it, and adds the products in the order of the columns, each fused with its sum. Partial sums meet in
// pairs: of neighbouring lanes, of neighbouring pairs, and so on, then comes the bias. So H alone decides in which order
// a logit is formed: how many experts or tokens a block takes changes no bit of it.
//
// The 128 lanes are four groups of 32, which need nothing of each other until their sums meet: any block may have any.

namespace ROUTER_NAMESPACE {

constexpr int kHidden = ROUTER_GATE_HIDDEN;
constexpr Dtype kHiddenDtype = static_cast<Dtype>(ROUTER_GATE_HIDDEN_DTYPE);
// Experts and tokens of a group.
constexpr int kGateExperts = ROUTER_GATE_EXPERTS;
constexpr int kGateTokens = ROUTER_GATE_TOKENS;
constexpr int kGateSums = kGateExperts * kGateTokens;

constexpr int kGatePartialSums = 128;
constexpr int kGateGroup = 32;
constexpr int kGateGroups = kGatePartialSums / kGateGroup;
static_assert(kWaveSize % kGateGroup == 0, "a wave holds whole groups");

constexpr int kPieceColumns = 8;
static_assert(kHidden % kPieceColumns == 0, "rows end in the middle of a piece");
constexpr int kPieces = kHidden / kPieceColumns;
constexpr int kLanePieces = (kPieces + kGatePartialSums - 1) / kGatePartialSums;
// Pieces of weights that are on their way before the hidden states are waited for: as many as registers allow.
constexpr int kMostAhead = ROUTER_GATE_AHEAD / kGateExperts;
constexpr int kAheadPieces = kLanePieces < kMostAhead ? kLanePieces : kMostAhead;
// Pieces whose hidden states are asked for at once, in 16 bytes each for a token or in twice as many.
constexpr int kHiddenLoads = kHiddenDtype == Dtype::f32 ? 2 : 1;
constexpr int kMostAtOnce = 12 / (kGateTokens * kHiddenLoads);
constexpr int kPiecesAtOnce = kMostAtOnce < 1 ? 1 : kMostAtOnce;

ROUTER_INLINE void widen_piece(Words4 words, float* values) {
  const u32 pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    values[2 * i] = bits_to_float(pairs[i] << 16);
    values[2 * i + 1] = bits_to_float(pairs[i] & 0xffff0000u);
  }
}

// Whether a lane, of 128, has a piece number `turn`.
ROUTER_INLINE bool has_piece(u32 lane, u32 turn) { return lane + turn * kGatePartialSums < kPieces; }

// One piece of weights of each of a group's experts. A piece that the lane does not have is zeros, here and of the hidden
// states: their products change no sum. To leave them out instead, compilers would put off the loads to where it is decided.
struct GatePiece {
  Words4 words[kGateExperts];
};

// A lane's piece number `turn`. Past the last expert, the last one's weights are read again.
ROUTER_INLINE GatePiece load_gate_piece(const u8* weight, u32 firstExpert, u32 lane, u32 turn) {
  const u32 piece = lane + turn * kGatePartialSums;
  GatePiece loaded;
#pragma unroll
  for (int i = 0; i < kGateExperts; i++) {
    const u32 expert = smaller(firstExpert + i, static_cast<u32>(ROUTER_EXPERTS - 1));
    const u8* address = weight + (static_cast<u64>(expert) * kHidden + piece * kPieceColumns) * 2;
    loaded.words[i] = {0, 0, 0, 0};
    if (has_piece(lane, turn)) loaded.words[i] = load_ahead_words4(address);
  }
  return loaded;
}

// Weights that a lane, of 128, asks for before the hidden states are known.
struct GateAhead {
  GatePiece pieces[kAheadPieces];
};

ROUTER_INLINE GateAhead load_gate_ahead(const u8* weight, u32 firstExpert, u32 lane) {
  GateAhead ahead;
#pragma unroll
  for (int i = 0; i < kAheadPieces; i++) ahead.pieces[i] = load_gate_piece(weight, firstExpert, lane, i);
  return ahead;
}

// A piece of the hidden state of each of a group's tokens.
struct HiddenPiece {
  Words4 words[kGateTokens][kHiddenLoads];
};

// The bits that are set in all of its words.
ROUTER_INLINE u32 common_bits(const HiddenPiece& hidden) {
  u32 common = ~0u;
#pragma unroll
  for (int token = 0; token < kGateTokens; token++) {
#pragma unroll
    for (int i = 0; i < kHiddenLoads; i++) {
      const Words4 words = hidden.words[token][i];
      common &= words.x & words.y & words.z & words.w;
    }
  }
  return common;
}

// Hidden states in device memory.
struct HiddenRows {
  const u8* rows[kGateTokens];
};

// A lane's piece number `turn`, of 128 lanes.
ROUTER_INLINE HiddenPiece load_hidden_piece(const HiddenRows& hidden, u32 lane, u32 turn) {
  const u32 piece = lane + turn * kGatePartialSums;
  HiddenPiece loaded;
#pragma unroll
  for (int token = 0; token < kGateTokens; token++) {
#pragma unroll
    for (int i = 0; i < kHiddenLoads; i++) {
      loaded.words[token][i] = {0, 0, 0, 0};
      if (has_piece(lane, turn)) loaded.words[token][i] = load_words4(hidden.rows[token] + (piece * kHiddenLoads + i) * 16);
    }
  }
  return loaded;
}

// Adds a piece's products to the partial sums, [experts][tokens].
ROUTER_INLINE void add_gate_piece(const GatePiece& piece, const HiddenPiece& hidden, float* sums) {
  float weights[kGateExperts][kPieceColumns];
#pragma unroll
  for (int i = 0; i < kGateExperts; i++) widen_piece(piece.words[i], weights[i]);
#pragma unroll
  for (int token = 0; token < kGateTokens; token++) {
    float values[kPieceColumns];
    if constexpr (kHiddenDtype == Dtype::f32) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const Words4 four = hidden.words[token][half];
        values[4 * half] = bits_to_float(four.x);
        values[4 * half + 1] = bits_to_float(four.y);
        values[4 * half + 2] = bits_to_float(four.z);
        values[4 * half + 3] = bits_to_float(four.w);
      }
    } else {
      widen_piece(hidden.words[token][0], values);
    }
#pragma unroll
    for (int column = 0; column < kPieceColumns; column++) {
#pragma unroll
      for (int i = 0; i < kGateExperts; i++) {
        float& sum = sums[i * kGateTokens + token];
        sum = multiply_add(weights[i][column], values[column], sum);
      }
    }
  }
}

// The sums of a group, [experts][tokens]: the lane's number i + kGateSums * n knows sum i. `lane` is one of 128.
template <class Hidden>
ROUTER_INLINE float sum_of_group(const u8* weight, u32 firstExpert, const GateAhead& ahead, const Hidden& hidden,
                                 u32 lane) {
  float sums[kGateSums];
#pragma unroll
  for (int first = 0; first < kAheadPieces; first += kPiecesAtOnce) {
    HiddenPiece pieces[kPiecesAtOnce];
#pragma unroll
    for (int i = 0; i < kPiecesAtOnce; i++) {
      if (first + i < kAheadPieces) pieces[i] = load_hidden_piece(hidden, lane, first + i);
    }
    if (first == 0) {
      u32 common = ~0u;
#pragma unroll
      for (int i = 0; i < kPiecesAtOnce; i++) {
        if (i < kAheadPieces) common &= common_bits(pieces[i]);
      }
      const float zero = zero_once_loaded(common);
#pragma unroll
      for (int i = 0; i < kGateSums; i++) sums[i] = zero;
    }
#pragma unroll
    for (int i = 0; i < kPiecesAtOnce; i++) {
      if (first + i < kAheadPieces) add_gate_piece(ahead.pieces[first + i], pieces[i], sums);
    }
    if constexpr (kAheadPieces > kPiecesAtOnce) keep_loads_behind();
  }
#pragma unroll 1
  for (u32 turn = kAheadPieces; has_piece(lane, turn); turn++) {
    add_gate_piece(load_gate_piece(weight, firstExpert, lane, turn), load_hidden_piece(hidden, lane, turn), sums);
  }
  return sum_by_lane<kGateSums>(sums);
}

// A logit, of the sums of its groups. No bias is -0, which leaves every sum as it is.
ROUTER_INLINE float logit_of_groups(const float* sums, float bias) {
  const float left = rounded_sum(sums[0], sums[1]);
  const float right = rounded_sum(sums[2], sums[3]);
  return rounded_sum(rounded_sum(left, right), bias);
}

// Hidden states of a group's tokens; past the last token, the last one's again.
ROUTER_INLINE HiddenRows hidden_rows(const u8* hidden, u32 rowBytes, u32 firstToken, u32 tokens) {
  HiddenRows found;
#pragma unroll
  for (int i = 0; i < kGateTokens; i++) {
    const u32 token = smaller(firstToken + i, tokens - 1);
    found.rows[i] = hidden + static_cast<u64>(token) * rowBytes;
  }
  return found;
}

}  // namespace ROUTER_NAMESPACE
