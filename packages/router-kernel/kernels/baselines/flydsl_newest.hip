// After FlyDSL's newest top-k gating softmax: as its first, but a lane owns 8 experts; the lane's own best comes from a
// balanced tournament; the butterfly carries the value alone (quad DPP for the first two steps on AMD, as published),
// and the winning lane is the first bit of a ballot, whose expert one shuffle fetches.

namespace ROUTER_NAMESPACE {

static_assert((kExperts & (kExperts - 1)) == 0, "the published kernel takes powers of two");
constexpr int kPerLane = kExperts / 8 > kWaveSize ? kExperts / kWaveSize : (kExperts < 8 ? kExperts : 8);
constexpr int kLanes = kExperts / kPerLane;
constexpr int kWantedBytes = kDtype == 2 ? 8 : 16;
constexpr int kLoadBytes = kPerLane * kElementBytes < kWantedBytes ? kPerLane * kElementBytes : kWantedBytes;
constexpr int kPerLoad = kLoadBytes / kElementBytes;
constexpr int kRowsPerBlock = kThreads / kLanes;

template <int STEP>
ROUTER_INLINE float max_step(float value) {
#if !ROUTER_NVIDIA
  if constexpr (STEP <= 2) {
    const int bits = static_cast<int>(float_to_bits(value));
    const int other = __builtin_amdgcn_update_dpp(0, bits, STEP == 1 ? 0xB1 : 0x4E, 0xf, 0xf, true);
    return larger(value, bits_to_float(static_cast<u32>(other)));
  }
#endif
  return larger(value, shuffle_xor(value, STEP));
}

template <int STEP = 1>
ROUTER_INLINE float max_of_row(float value) {
  if constexpr (STEP >= kLanes) {
    return value;
  } else {
    return max_of_row<STEP * 2>(max_step<STEP>(value));
  }
}

// The best of values[FIRST .. FIRST + COUNT) and its slot; the lower slot of equal ones.
template <int FIRST, int COUNT>
ROUTER_INLINE void tournament(const float* values, float& best, int& slot) {
  if constexpr (COUNT == 1) {
    best = values[FIRST];
    slot = FIRST;
  } else {
    float right;
    int rightSlot;
    tournament<FIRST, COUNT / 2>(values, best, slot);
    tournament<FIRST + COUNT / 2, COUNT / 2>(values, right, rightSlot);
    const bool isBetter = right > best;
    best = isBetter ? right : best;
    slot = isBetter ? rightSlot : slot;
  }
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void* __restrict__ logits, float* weights, i32* ids, u32 tokens, u32) {
  const int lane = static_cast<int>(thread_index()) % kLanes;
  const u32 row = block_index() * kRowsPerBlock + thread_index() / kLanes;
  const u32 readable = smaller(row, tokens - 1);
  const u8* first = static_cast<const u8*>(logits) + static_cast<u64>(readable) * kExperts * kElementBytes +
                    lane * kPerLane * kElementBytes;
  float values[kPerLane];
#pragma unroll
  for (int load = 0; load < kPerLane / kPerLoad; load++) {
    load_values<kLoadBytes>(first + load * kLoadBytes, values + load * kPerLoad);
  }
  float largest = values[0];
#pragma unroll
  for (int i = 1; i < kPerLane; i++) largest = larger(largest, values[i]);
  largest = max_of_row(largest);
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kPerLane; i++) {
    values[i] = exp2_approximate((values[i] - largest) * kLog2E);
    sum += values[i];
  }
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  const float reciprocal = reciprocal_approximate(sum);
#pragma unroll
  for (int i = 0; i < kPerLane; i++) values[i] *= reciprocal;

  const int firstLane = wave_lane() - lane;
  const u64 rowMask = (kLanes == 64 ? ~0ull : (1ull << kLanes) - 1) << firstLane;
  float chosenValues[kTopK];
  int chosenExperts[kTopK];
  float chosen = 0.0f;
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    float own;
    int slot;
    tournament<0, kPerLane>(values, own, slot);
    const float best = max_of_row(own);
    const int winner = first_set(ballot(own == best) & rowMask);
    const int expert = shuffle(lane * kPerLane + slot, winner);
    chosenValues[k] = best;
    chosenExperts[k] = expert;
    chosen += best;
#pragma unroll
    for (int i = 0; i < kPerLane; i++) values[i] = lane * kPerLane + i == expert ? -1.0f : values[i];
  }
  if (lane == 0 && row < tokens) {
    const float factor = reciprocal_approximate(larger(chosen, 1e-20f));
#pragma unroll
    for (int k = 0; k < kTopK; k++) {
      weights[static_cast<u64>(row) * kTopK + k] = chosenValues[k] * factor;
      ids[static_cast<u64>(row) * kTopK + k] = chosenExperts[k];
    }
  }
}

}  // namespace ROUTER_NAMESPACE
