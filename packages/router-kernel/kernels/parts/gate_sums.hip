// The gate projection: rows of the gate's weight, bf16 [E, H], times rows of hidden states, bf16 or f32 [T, H].
//
// A logit is the sum of 128 partial sums, one a lane of a team. A lane takes pieces of 8 neighbouring columns, its own
// and then every 128th after it, and adds the products in the order of the columns, each fused with its sum. Partial
// sums meet in pairs: of neighbouring lanes, of neighbouring pairs, and so on, then comes the bias. So H alone decides
// in which order a logit is formed: how many experts or tokens a block takes changes no bit of it.

namespace ROUTER_NAMESPACE {

constexpr int kHidden = ROUTER_GATE_HIDDEN;
constexpr Dtype kHiddenDtype = static_cast<Dtype>(ROUTER_GATE_HIDDEN_DTYPE);
// Experts and tokens of a team.
constexpr int kGateExperts = ROUTER_GATE_EXPERTS;
constexpr int kGateTokens = ROUTER_GATE_TOKENS;
constexpr int kGateSums = kGateExperts * kGateTokens;

constexpr int kGateTeam = 128;
constexpr int kGateTeams = ROUTER_THREADS / kGateTeam;
static_assert(kGateTeams * kGateTeam == ROUTER_THREADS, "a block holds whole teams");
// Teams that share the experts, and take the block's tokens in turns.
constexpr int kTokenTeams = ROUTER_GATE_TOKEN_TEAMS;
static_assert(kGateTeams % kTokenTeams == 0, "experts have equal numbers of teams");
constexpr u32 kBlockExperts = kGateTeams / kTokenTeams * kGateExperts;
constexpr u32 kTileTokens = kGateTokens * kTokenTeams;
// Butterflies reach over so many lanes; what is left of a sum meets in shared memory.
constexpr int kGateGroup = 32;
constexpr int kGateGroups = kGateTeam / kGateGroup;
// All logits of a block are stored by its first wave.
constexpr int kBlockLogits = kGateTeams * kGateSums;
static_assert(kBlockLogits <= kGateGroup && kGateGroup <= kWaveSize, "each logit of a block has a lane that stores it");

constexpr int kPieceColumns = 8;
static_assert(kHidden % kPieceColumns == 0, "rows end in the middle of a piece");
constexpr int kPieces = kHidden / kPieceColumns;
constexpr int kLanePieces = (kPieces + kGateTeam - 1) / kGateTeam;
// Pieces of weights that are on their way before the hidden states are waited for: as many as registers allow.
constexpr int kMostAhead = 8 / kGateExperts;
constexpr int kAheadPieces = kLanePieces < kMostAhead ? kLanePieces : kMostAhead;

// The first expert of a team; past the last expert, the last one's weights are read again and the sum dropped.
ROUTER_INLINE u32 expert_of_team(u32 block, u32 team) {
  return block * kBlockExperts + team / kTokenTeams * kGateExperts;
}
// The first of a team's tokens, of which the block has some from `firstToken` on.
ROUTER_INLINE u32 token_of_team(u32 firstToken, u32 team) { return firstToken + team % kTokenTeams * kGateTokens; }

ROUTER_INLINE void widen_piece(Words4 words, float* values) {
  const u32 pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    values[2 * i] = bits_to_float(pairs[i] << 16);
    values[2 * i + 1] = bits_to_float(pairs[i] & 0xffff0000u);
  }
}

// A piece of a row of hidden states, which begins at `row`.
ROUTER_INLINE void load_hidden_piece(const u8* row, u32 piece, float* values) {
  if constexpr (kHiddenDtype == Dtype::f32) {
    const Words4* words = reinterpret_cast<const Words4*>(row) + piece * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Words4 four = words[half];
      values[4 * half] = bits_to_float(four.x);
      values[4 * half + 1] = bits_to_float(four.y);
      values[4 * half + 2] = bits_to_float(four.z);
      values[4 * half + 3] = bits_to_float(four.w);
    }
  } else {
    widen_piece(reinterpret_cast<const Words4*>(row)[piece], values);
  }
}

// One piece of weights of each of a team's experts.
struct GatePiece {
  Words4 words[kGateExperts];
};

ROUTER_INLINE GatePiece load_gate_piece(const u8* weight, u32 firstExpert, u32 piece) {
  GatePiece loaded;
#pragma unroll
  for (int i = 0; i < kGateExperts; i++) {
    const u32 expert = smaller(firstExpert + i, static_cast<u32>(ROUTER_EXPERTS - 1));
    loaded.words[i] = load_streamed_words4(weight + (static_cast<u64>(expert) * kHidden + piece * kPieceColumns) * 2);
  }
  return loaded;
}

// Adds a piece's products to the partial sums, [experts][tokens].
ROUTER_INLINE void add_gate_piece(const GatePiece& piece, const u8* const* rows, u32 at, float* sums) {
  float weights[kGateExperts][kPieceColumns];
#pragma unroll
  for (int i = 0; i < kGateExperts; i++) widen_piece(piece.words[i], weights[i]);
#pragma unroll
  for (int token = 0; token < kGateTokens; token++) {
    float values[kPieceColumns];
    load_hidden_piece(rows[token], at, values);
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

// The logit that a lane of the first wave stores: its place in the block's [team][expert][token].
struct OwnLogit {
  u32 team;
  u32 sum;
  u32 expert;
  u32 token;
  bool isThere;
};

ROUTER_INLINE OwnLogit own_logit(u32 block, u32 firstToken, u32 tokens, u32 thread) {
  const u32 team = thread / kGateSums;
  const u32 sum = thread % kGateSums;
  const u32 expert = expert_of_team(block, team) + sum / kGateTokens;
  const u32 token = token_of_team(firstToken, team) + sum % kGateTokens;
  return {team, sum, expert, token, thread < kBlockLogits && expert < ROUTER_EXPERTS && token < tokens};
}

// What a lane knows before the hidden states are: weights of its team's rows, and the bias of the logit that it stores.
struct GateAhead {
  GatePiece pieces[kAheadPieces];
  float bias;
};

ROUTER_INLINE GateAhead load_gate_ahead(const u8* weight, const float* bias, u32 firstExpert, const OwnLogit& own,
                                        u32 thread) {
  GateAhead ahead;
  const u32 lane = thread % kGateTeam;
#pragma unroll
  for (int i = 0; i < kAheadPieces; i++) {
    // A lane that has no piece reads another one, and leaves it.
    const u32 piece = lane + i * kGateTeam < kPieces ? lane + i * kGateTeam : lane % kPieces;
    ahead.pieces[i] = load_gate_piece(weight, firstExpert, piece);
  }
  ahead.bias = own.isThere && bias != nullptr ? bias[own.expert] : -0.0f;
  return ahead;
}

struct GateMemory {
  float groupSums[kGateTeams][kGateGroups][kGateSums];
};

ROUTER_INLINE GateMemory& gate_memory() {
  __shared__ GateMemory memory;
  return memory;
}

// Forms the logits of a block: [experts][tokens] for each of its teams, in shared memory, group by group. A barrier has
// to follow.
ROUTER_INLINE void sum_gate(const u8* weight, u32 firstExpert, const GateAhead& ahead, const u8* const* rows,
                            u32 thread) {
  const u32 lane = thread % kGateTeam;
  float sums[kGateSums];
#pragma unroll
  for (int i = 0; i < kGateSums; i++) sums[i] = 0.0f;
#pragma unroll
  for (int i = 0; i < kAheadPieces; i++) {
    if (lane + i * kGateTeam < kPieces) add_gate_piece(ahead.pieces[i], rows, lane + i * kGateTeam, sums);
    // Of one token, all pieces fit the registers, and are asked for at once.
    if constexpr (kGateTokens > 1) keep_loads_behind();
  }
#pragma unroll 1
  for (u32 piece = lane + kAheadPieces * kGateTeam; piece < kPieces; piece += kGateTeam) {
    add_gate_piece(load_gate_piece(weight, firstExpert, piece), rows, piece, sums);
  }
  // Each lane keeps one of the sums that all lanes of its group come to know: registers have no index.
  float own = 0.0f;
#pragma unroll
  for (int i = 0; i < kGateSums; i++) {
    const float sum = token_sum<kGateGroup>(sums[i]);
    own = lane % kGateGroup == i ? sum : own;
  }
  if (lane % kGateGroup < kGateSums) {
    gate_memory().groupSums[thread / kGateTeam][lane / kGateGroup][lane % kGateGroup] = own;
  }
}

// A lane's logit. A barrier has passed since the sums were formed. No bias is -0, which leaves every sum as it is.
ROUTER_INLINE float gate_logit(const OwnLogit& own, float bias) {
  const auto& groups = gate_memory().groupSums[own.team];
  const float left = rounded_sum(groups[0][own.sum], groups[1][own.sum]);
  const float right = rounded_sum(groups[2][own.sum], groups[3][own.sum]);
  return rounded_sum(rounded_sum(left, right), bias);
}

// Where the logit of a lane lies in [tokens, E].
ROUTER_INLINE u64 place_of_logit(const OwnLogit& own) {
  return static_cast<u64>(own.token) * ROUTER_EXPERTS + own.expert;
}

// Where the hidden states of a thread's team begin; past the end, the last one again.
ROUTER_INLINE void gate_rows(const u8* hidden, u32 rowBytes, u32 firstToken, u32 tokens, u32 thread,
                             const u8** rows) {
  const u32 first = token_of_team(firstToken, thread / kGateTeam);
#pragma unroll
  for (int i = 0; i < kGateTokens; i++) {
    const u32 token = smaller(first + i, tokens - 1);
    rows[i] = hidden + static_cast<u64>(token) * rowBytes;
  }
}

}  // namespace ROUTER_NAMESPACE
