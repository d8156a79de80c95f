// After FlyDSL's first top-k gating softmax: 256 threads; a lane owns up to 16 neighbouring experts (16-byte loads for
// 16-bit logits, 8-byte ones for f32); softmax over the whole row first; then K unrolled rounds of an arg-max butterfly
// over value and expert, 2 shuffles a step; the leading lane writes one scalar per winner and output.

namespace ROUTER_NAMESPACE {

static_assert((kExperts & (kExperts - 1)) == 0, "the published kernel takes powers of two");
// The largest of 16, 8, 4, 2, 1 that divides the row.
constexpr int kPerLane = kExperts >= 16 * kWaveSize ? kExperts / kWaveSize : (kExperts < 16 ? kExperts : 16);
constexpr int kLanes = kExperts / kPerLane;
constexpr int kWantedBytes = kDtype == 2 ? 8 : 16;
constexpr int kLoadBytes = kPerLane * kElementBytes < kWantedBytes ? kPerLane * kElementBytes : kWantedBytes;
constexpr int kPerLoad = kLoadBytes / kElementBytes;
constexpr int kRowsPerBlock = kThreads / kLanes;

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
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) largest = larger(largest, shuffle_xor(largest, mask));
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

  float chosenValues[kTopK];
  int chosenExperts[kTopK];
  float chosen = 0.0f;
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    float best = values[0];
    int expert = lane * kPerLane;
#pragma unroll
    for (int i = 1; i < kPerLane; i++) {
      const bool isBetter = values[i] > best;
      best = isBetter ? values[i] : best;
      expert = isBetter ? lane * kPerLane + i : expert;
    }
#pragma unroll
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
      const float otherBest = shuffle_xor(best, mask);
      const int otherExpert = shuffle_xor(expert, mask);
      const bool isBetter = otherBest > best || (otherBest == best && otherExpert < expert);
      best = isBetter ? otherBest : best;
      expert = isBetter ? otherExpert : expert;
    }
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
