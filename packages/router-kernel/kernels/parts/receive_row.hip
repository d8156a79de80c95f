// What the routing block of the fused kernel does before it routes: the lanes of a token wait for the sums that make their
// part of its row.

namespace ROUTER_NAMESPACE {

// Loads of a row whose sums a lane waits for at once: as many as registers allow.
constexpr int kReceivedLoads = kSlots <= 8 ? kLoads : 1;

// The biases of a lane's experts.
struct RowBiases {
  float values[kSlots];
};

ROUTER_INLINE RowBiases load_row_biases(const float* bias, u32 lane) {
  RowBiases biases;
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    const bool isThere = bias != nullptr && is_in_row(lane, slot);
    biases.values[slot] = isThere ? bias[first_expert(lane) + expert_offset(slot)] : -0.0f;
  }
  return biases;
}

// Receives a lane's part of the row of a token, where there is one, and clears its words. What is past the row's end is left
// 0. Every lane of the wave takes part: all go on at once, for lanes that did not would search the row one after the other.
ROUTER_INLINE void receive_row(u32* words, u32 token, u32 tokens, u32 lane, const RowBiases& biases, float* logits) {
#pragma unroll
  for (int first = 0; first < kLoads; first += kReceivedLoads) {
    u32 received[kReceivedLoads][kGateGroups][kLoadWidth];
    u32 least;
    do {
      // All loads are on their way before one is looked at.
#pragma unroll
      for (int i = 0; i < kReceivedLoads; i++) {
        const int slot = (first + i) * kLoadWidth;
#pragma unroll
        for (int group = 0; group < kGateGroups; group++) {
          if (token < tokens && is_in_row(lane, slot)) {
            const u32 place = place_of_sum(token, group, first_expert(lane) + expert_offset(slot));
            load_device_words<kLoadWidth>(words + place, received[i][group]);
          } else {
#pragma unroll
            for (int k = 0; k < kLoadWidth; k++) received[i][group][k] = word_of_number(0.0f);
          }
        }
      }
      least = ~0u;
#pragma unroll
      for (int i = 0; i < kReceivedLoads; i++) {
#pragma unroll
        for (int k = 0; k < kLoadWidth; k++) {
          const auto& sums = received[i];
          least = smaller(least, smaller(smaller(sums[0][k], sums[1][k]), smaller(sums[2][k], sums[3][k])));
        }
      }
    } while (is_any_in_wave(least == 0));
#pragma unroll
    for (int i = 0; i < kReceivedLoads; i++) {
      const int slot = (first + i) * kLoadWidth;
#pragma unroll
      for (int k = 0; k < kLoadWidth; k++) {
        float sums[kGateGroups];
#pragma unroll
        for (int group = 0; group < kGateGroups; group++) sums[group] = number_of_word(received[i][group][k]);
        logits[slot + k] = logit_of_groups(sums, biases.values[slot + k]);
      }
      if (token >= tokens || !is_in_row(lane, slot)) continue;
#pragma unroll
      for (int group = 0; group < kGateGroups; group++) {
        clear_device_words<kLoadWidth>(words + place_of_sum(token, group, first_expert(lane) + expert_offset(slot)));
      }
    }
  }
}

// Stores a lane's part of a row of logits, which begins at `row`.
ROUTER_INLINE void store_row(float* row, u32 lane, const float* logits) {
#pragma unroll
  for (int slot = 0; slot < kSlots; slot += kLoadWidth) {
    if (!is_in_row(lane, slot)) continue;
    float* target = row + first_expert(lane) + expert_offset(slot);
    if constexpr (kLoadWidth == 4) {
      *reinterpret_cast<Words4*>(target) = {float_to_bits(logits[slot]), float_to_bits(logits[slot + 1]),
                                            float_to_bits(logits[slot + 2]), float_to_bits(logits[slot + 3])};
    } else if constexpr (kLoadWidth == 2) {
      *reinterpret_cast<Words2*>(target) = {float_to_bits(logits[slot]), float_to_bits(logits[slot + 1])};
    } else {
      *target = logits[slot];
    }
  }
}

}  // namespace ROUTER_NAMESPACE
