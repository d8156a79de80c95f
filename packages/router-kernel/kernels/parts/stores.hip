// One lane of a token writes its K results, in stores as wide as K allows; ids may come from the lanes that hold them.

namespace ROUTER_NAMESPACE {

// Writes COUNT words to an address that is a multiple of the widest store that divides COUNT words.
template <int COUNT>
ROUTER_INLINE void store_words(void* target, const u32* words) {
  if constexpr (COUNT % 4 == 0) {
#pragma unroll
    for (int i = 0; i < COUNT / 4; i++) {
      const Words4 four = {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]};
      static_cast<Words4*>(target)[i] = four;
    }
  } else if constexpr (COUNT % 2 == 0) {
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      const Words2 two = {words[2 * i], words[2 * i + 1]};
      static_cast<Words2*>(target)[i] = two;
    }
  } else {
#pragma unroll
    for (int i = 0; i < COUNT; i++) static_cast<u32*>(target)[i] = words[i];
  }
}

ROUTER_INLINE void store_weights(float* target, u64 row, const float* weights) {
  u32 words[kTopK];
#pragma unroll
  for (int k = 0; k < kTopK; k++) words[k] = float_to_bits(weights[k]);
  store_words<kTopK>(target + row * kTopK, words);
}

ROUTER_INLINE void store_ids(void* target, u64 row, const i32* ids) {
  constexpr int kWordsPerId = ROUTER_IDS_BYTES / 4;
  u32 words[kTopK * kWordsPerId];
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    words[k * kWordsPerId] = static_cast<u32>(ids[k]);
    if constexpr (kWordsPerId == 2) words[2 * k + 1] = static_cast<u32>(ids[k] >> 31);
  }
  store_words<kTopK * kWordsPerId>(static_cast<u32*>(target) + row * (kTopK * kWordsPerId), words);
}

// One id, where the lanes that hold a row's winners store them.
ROUTER_INLINE void store_id(void* target, u64 slot, i32 id) {
  if constexpr (ROUTER_IDS_BYTES == 8) {
    static_cast<i64*>(target)[slot] = id;
  } else {
    static_cast<i32*>(target)[slot] = id;
  }
}

ROUTER_INLINE void store_token_expert_indices(i32* target, u32 row, u32 tokens) {
  u32 words[kTopK];
#pragma unroll
  for (int k = 0; k < kTopK; k++) words[k] = k * tokens + row;
  store_words<kTopK>(target + static_cast<u64>(row) * kTopK, words);
}

}  // namespace ROUTER_NAMESPACE
