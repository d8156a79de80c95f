// In the fused kernel blocks form sums of groups, and the last one routes the logits that they make: as a word each, [tokens,
// groups, E], they come to it from the others, and it leaves the words 0. It waits for blocks that wait for nobody, so that
// it may take the place of one of them but never of all. To the parts that follow, which are those of a routing launch of one
// block, it is block 0.

namespace ROUTER_NAMESPACE {

// Tokens of a launch: teams of groups share the experts of a block, each with tokens of its own.
constexpr int kTokenTeams = ROUTER_GATE_TOKEN_TEAMS;
constexpr int kFusedTokens = kGateTokens * kTokenTeams;
// A block has one group of its experts: it reads no more of the hidden states than that group takes.
constexpr u32 kTeamGroups = ROUTER_THREADS / kGateGroup / kTokenTeams;
static_assert(kTeamGroups * kTokenTeams * kGateGroup == ROUTER_THREADS, "teams have equal numbers of groups");

ROUTER_INLINE u32 gate_block() { return block_index(); }
ROUTER_INLINE u32 group_of_block() { return block_index() % kGateGroups; }
ROUTER_INLINE u32 first_expert_of_group() {
  const u32 inBlock = thread_index() / kGateGroup % kTeamGroups;
  return (block_index() / kGateGroups * kTeamGroups + inBlock) * kGateExperts;
}
ROUTER_INLINE u32 first_token_of_group() { return thread_index() / kGateGroup / kTeamGroups * kGateTokens; }

// Where a rehearsal of the routing stores its results, in pieces of 16 bytes: weights, indices, ids (which are the longest),
// and the plan's offsets, slots and lists of tiles, of which there are no more than slots.
constexpr u32 kFusedSlots = kFusedTokens * ROUTER_TOP_K;
constexpr u32 kSlotUnits = (kFusedSlots + 3) / 4;
constexpr u32 kOffsetUnits = (ROUTER_EXPERTS + 1 + 3) / 4;
constexpr u32 kTileUnits = (2 + ROUTER_EXPERTS + 2 * kFusedSlots + 3) / 4;
constexpr u32 kIndicesUnit = kSlotUnits;
constexpr u32 kIdsUnit = 2 * kSlotUnits;
constexpr u32 kOffsetsUnit = 4 * kSlotUnits;
constexpr u32 kSlotsUnit = kOffsetsUnit + kOffsetUnits;
constexpr u32 kTilesUnit = kSlotsUnit + kSlotUnits;
constexpr u32 kRehearsalUnits =
    !kMayBeginEarly ? 0 : (ROUTER_PLAN == 0 ? kOffsetsUnit : kTilesUnit + (ROUTER_EXPERT_TILES ? kTileUnits : 0));

// What the block's group takes of the hidden states, if it fits: all experts of the block need the same.
constexpr u32 kHiddenUnits = kFusedTokens * kLanePieces * kHiddenLoads * kGateGroup;
constexpr bool kSharesHidden = ROUTER_GATE_SHARES_HIDDEN && kHiddenUnits * 16 <= 32 * 1024;

// Hidden states in shared memory, 16 bytes a lane: [tokens][turns][loads][lanes].
struct SharedHidden {
  const Words4* units;
};

// Shared memory that the block has for them, and for other things before they come.
constexpr u32 kBlockUnits = kSharesHidden && kHiddenUnits > kRehearsalUnits ? kHiddenUnits : kRehearsalUnits + 1;
ROUTER_INLINE Words4* block_units() {
  __shared__ Words4 units[kBlockUnits];
  return units;
}

ROUTER_INLINE HiddenPiece load_hidden_piece(const SharedHidden& hidden, u32 lane, u32 turn) {
  HiddenPiece loaded;
#pragma unroll
  for (int token = 0; token < kGateTokens; token++) {
#pragma unroll
    for (int i = 0; i < kHiddenLoads; i++) {
      const u32 row = ((first_token_of_group() + token) * kLanePieces + turn) * kHiddenLoads + i;
      loaded.words[token][i] = hidden.units[row * kGateGroup + lane % kGateGroup];
    }
  }
  return loaded;
}

// Brings them there. Every thread of the block has to take part.
ROUTER_INLINE SharedHidden share_hidden(const u8* hidden, u32 rowBytes, u32 tokens) {
  Words4* units = block_units();
  constexpr u32 kThreadUnits = (kHiddenUnits + ROUTER_THREADS - 1) / ROUTER_THREADS;
  Words4 own[kThreadUnits];
#pragma unroll
  for (u32 i = 0; i < kThreadUnits; i++) {
    const u32 unit = thread_index() + i * ROUTER_THREADS;
    const u32 row = unit / kGateGroup;
    const u32 turn = row / kHiddenLoads % kLanePieces;
    const u32 token = smaller(row / (kHiddenLoads * kLanePieces), tokens - 1);
    const u32 lane = group_of_block() * kGateGroup + unit % kGateGroup;
    const u32 piece = lane + turn * kGatePartialSums;
    const u8* from = hidden + static_cast<u64>(token) * rowBytes;
    own[i] = {0, 0, 0, 0};
    if (has_piece(lane, turn)) own[i] = load_words4(from + (piece * kHiddenLoads + row % kHiddenLoads) * 16);
  }
#pragma unroll
  for (u32 i = 0; i < kThreadUnits; i++) {
    const u32 unit = thread_index() + i * ROUTER_THREADS;
    const bool isWhole = (i + 1) * ROUTER_THREADS <= kHiddenUnits;
    if (isWhole || unit < kHiddenUnits) units[unit] = own[i];
  }
  block_barrier();
  return {units};
}

ROUTER_INLINE u32 place_of_sum(u32 token, u32 group, u32 expert) {
  return (token * kGateGroups + group) * ROUTER_EXPERTS + expert;
}

// Hands over the sum that a lane knows.
ROUTER_INLINE void hand_over_sum(u32* words, float sum, u32 tokens) {
  const u32 lane = thread_index() % kGateGroup;
  const u32 expert = first_expert_of_group() + lane / kGateTokens;
  const u32 token = first_token_of_group() + lane % kGateTokens;
  if (lane < kGateSums && expert < ROUTER_EXPERTS && token < tokens) {
    store_device_word(words + place_of_sum(token, group_of_block(), expert), word_of_number(sum));
  }
}

}  // namespace ROUTER_NAMESPACE

#define block_index() 0u
