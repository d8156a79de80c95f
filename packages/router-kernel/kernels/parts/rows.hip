// Who holds what of a row. A lane holds kSlots logits in kWords registers, loaded kLoadBytes at a time. Loads of
// neighbouring lanes are neighbours in memory ("interleaved"); with expert groups that fit, a lane holds one run of
// neighbouring experts instead ("blocked"), so that a group is a few lanes or part of one.

namespace ROUTER_NAMESPACE {

constexpr int kExperts = ROUTER_EXPERTS;
constexpr int kTopK = ROUTER_TOP_K;
constexpr Dtype kDtype = static_cast<Dtype>(ROUTER_LOGITS_DTYPE);
constexpr int kLanes = ROUTER_LANES;
constexpr int kGroups = ROUTER_GROUPS;
constexpr int kTopKGroups = ROUTER_TOP_K_GROUPS;
constexpr int kGroupSize = kExperts / kGroups;
constexpr bool kHasBias = ROUTER_CORRECTION_BIAS;
// Whether the ranking is by the choice score; otherwise it is by the logit.
constexpr bool kRanksByChoice = kHasBias || kGroups > 1;

// Whether chunks of one load are ranked first, and then the experts of the best ones.
constexpr bool kHasChunks = ROUTER_CHUNKS;

constexpr int kLogitBytes = kDtype == Dtype::f32 ? 4 : 2;
constexpr int kLoadBytes = ROUTER_LOAD_BYTES;
constexpr int kLoadWidth = kLoadBytes / kLogitBytes;
static_assert(kExperts % kLoadWidth == 0, "a load lies inside the row");

constexpr int kPerLane = (kExperts + kLanes - 1) / kLanes;
constexpr bool kGroupsFitLanes =
    kExperts % kLanes == 0 && (kGroupSize % kPerLane == 0 || kPerLane % kGroupSize == 0);
constexpr bool kBlocked = kGroups > 1 && kGroupsFitLanes;
static_assert(!kBlocked || kPerLane % kLoadWidth == 0, "a load lies inside the lane's run");

constexpr int kLoadsPerRow = kExperts / kLoadWidth;
constexpr int kLoads = (kLoadsPerRow + kLanes - 1) / kLanes;
constexpr bool kHasPartialLoads = kLoadsPerRow % kLanes != 0;
constexpr int kSlots = kLoads * kLoadWidth;

// 16-bit logits lie two to a word, except where one is all that a load brings.
constexpr int kSlotsPerWord = kLogitBytes == 2 && kLoadWidth > 1 ? 2 : 1;
constexpr int kWords = kSlots / kSlotsPerWord;
constexpr int kWordsPerLoad = kWords / kLoads;

// A slot's expert is first_expert(lane) + expert_offset(slot).
ROUTER_INLINE u32 first_expert(u32 lane) { return lane * (kBlocked ? kSlots : kLoadWidth); }
constexpr __device__ u32 expert_offset(int slot) {
  return kBlocked ? slot : slot / kLoadWidth * kLoadWidth * kLanes + slot % kLoadWidth;
}
// Whether the row reaches as far as this slot, in this lane.
ROUTER_INLINE bool is_in_row(u32 lane, int slot) {
  if constexpr (kHasPartialLoads) {
    const int load = slot / kLoadWidth;
    if (load == kLoads - 1) return lane + load * kLanes < kLoadsPerRow;
  }
  return true;
}

// Loads a lane's part of a row, which begins at `first`. Slots past the row's end are left 0; is_in_row tells them apart.
ROUTER_INLINE void load_row(const u8* first, u32 lane, u32* words) {
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    const u8* address = first + expert_offset(load * kLoadWidth) * kLogitBytes;
    u32* target = words + load * kWordsPerLoad;
    const bool isInRow = is_in_row(lane, load * kLoadWidth);
    if constexpr (kLoadBytes == 16) {
      Words4 loaded = {0, 0, 0, 0};
      if (isInRow) loaded = load_words4(address);
      target[0] = loaded.x;
      target[1] = loaded.y;
      target[2] = loaded.z;
      target[3] = loaded.w;
    } else if constexpr (kLoadBytes == 8) {
      Words2 loaded = {0, 0};
      if (isInRow) loaded = *reinterpret_cast<const Words2*>(address);
      target[0] = loaded.x;
      target[1] = loaded.y;
    } else if constexpr (kLoadBytes == 4) {
      target[0] = isInRow ? *reinterpret_cast<const u32*>(address) : 0;
    } else {
      target[0] = isInRow ? *reinterpret_cast<const u16*>(address) : 0;
    }
  }
}

// A slot's logit as f32; -Inf past the row's end.
ROUTER_INLINE float logit_of_slot(const u32* words, u32 lane, int slot) {
  const u32 word = words[slot / kSlotsPerWord];
  float logit;
  if constexpr (kDtype == Dtype::f32) {
    logit = bits_to_float(word);
  } else {
    logit = widen<kDtype>(slot % kSlotsPerWord == 0 ? word & 0xffffu : word >> 16);
  }
  return is_in_row(lane, slot) ? logit : -kInfinity;
}

// The type of the keys that are selected.
template <bool WIDE>
struct KeyOf {
  using type = i32;
};
template <>
struct KeyOf<true> {
  using type = i64;
};
using Key = KeyOf<kRanksByChoice || kDtype == Dtype::f32>::type;

// Whether a lane's keys name experts as the others do. Where the lane has many of them its first expert is left out,
// which does not matter to the lane's own order, and is added to the few keys that leave the lane.
constexpr bool kKeysHoldLane = kHasWaveReduction && kSlots <= 8 && !kRanksByChoice && !kHasChunks;

// A lane's keys where the ranking is by the logit.
ROUTER_INLINE void keys_of_logits(const u32* words, u32 lane, Key* keys) {
  const u32 first = kKeysHoldLane ? first_expert(lane) : 0;
#pragma unroll
  for (int word = 0; word < kWords; word++) {
    if constexpr (kDtype == Dtype::f32) {
      keys[word] = static_cast<Key>(wide_key(order_of_float(bits_to_float(words[word])), first + expert_offset(word)));
    } else {
      const u32 orders = orders_of_pair<kDtype>(words[word]);
      const int slot = word * kSlotsPerWord;
      keys[slot] = static_cast<Key>((orders << 16) | (first + expert_offset(slot)));
      if constexpr (kSlotsPerWord == 2) {
        keys[slot + 1] = static_cast<Key>((orders & 0xffff0000u) | (first + expert_offset(slot + 1)));
      }
    }
  }
  if constexpr (kHasPartialLoads) {
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) {
      if (!is_in_row(lane, slot)) keys[slot] = kNoKey<Key>;
    }
  }
}

// Adds the lane's first expert to a key that has it left out.
ROUTER_INLINE Key with_lane(Key key, u32 lane) {
  if constexpr (kKeysHoldLane) return key;
  constexpr bool kEverySlotHasAKey = !kHasPartialLoads && kGroups == 1 && kSlots == kNextPowerOfTwo<kSlots>;
  if (!kEverySlotHasAKey && key == kNoKey<Key>) return key;
  return key + first_expert(lane);
}

}  // namespace ROUTER_NAMESPACE
