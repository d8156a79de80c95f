// After vLLM's topkGatingSoftmax: 4 waves a block; 16-byte loads, neighbouring lanes on neighbouring addresses; softmax
// over the whole row first; then K rounds (K known at run time only) of an arg-max butterfly that carries the ranking
// value, the weight and the expert, 3 shuffles a step. The lane that leads the row writes each winner as it is found
// and, to renormalise, reads the weights back. Expert counts that are no power of two use 4-byte loads and a whole wave.

namespace ROUTER_NAMESPACE {

constexpr bool kIsPowerOfTwo = (kExperts & (kExperts - 1)) == 0;
constexpr int kLoadBytes = !kIsPowerOfTwo ? 4 : (kExperts * kElementBytes < 16 ? kExperts * kElementBytes : 16);
constexpr int kPerLoad = kLoadBytes / kElementBytes;
constexpr int kLanesWanted = kExperts / kPerLoad;
constexpr int kLanes = kLanesWanted > kWaveSize || !kIsPowerOfTwo ? kWaveSize : kLanesWanted;
constexpr int kPerLane = kExperts / kLanes;
constexpr int kLoads = kPerLane / kPerLoad;
constexpr int kRowsPerBlock = kThreads / kLanes;
static_assert(kPerLane * kLanes == kExperts && kLoads * kPerLoad == kPerLane, "the row divides among the lanes");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void* __restrict__ logits, float* weights, i32* ids, u32 tokens, u32 topK) {
  const int lane = static_cast<int>(thread_index()) % kLanes;
  const u32 row = block_index() * kRowsPerBlock + thread_index() / kLanes;
  const u32 readable = smaller(row, tokens - 1);
  const u8* first = static_cast<const u8*>(logits) + static_cast<u64>(readable) * kExperts * kElementBytes;

  float values[kPerLane];
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    load_values<kLoadBytes>(first + (load * kLanes + lane) * kLoadBytes, values + load * kPerLoad);
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
  for (int i = 0; i < kPerLane; i++) {
    values[i] *= reciprocal;
    if (!(values[i] < 3.402823466e38f)) values[i] = 0.0f;
  }

  float chosen = 0.0f;
  for (u32 k = 0; k < topK; k++) {
    float best = values[0];
    float weight = values[0];
    int expert = lane * kPerLoad;
#pragma unroll
    for (int i = 1; i < kPerLane; i++) {
      if (values[i] > best) {
        best = values[i];
        weight = values[i];
        expert = (i / kPerLoad * kLanes + lane) * kPerLoad + i % kPerLoad;
      }
    }
#pragma unroll
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
      const float otherBest = shuffle_xor(best, mask);
      const float otherWeight = shuffle_xor(weight, mask);
      const int otherExpert = shuffle_xor(expert, mask);
      if (otherBest > best || (otherBest == best && otherExpert < expert)) {
        best = otherBest;
        weight = otherWeight;
        expert = otherExpert;
      }
    }
    if (lane == 0 && row < tokens) {
      weights[static_cast<u64>(row) * topK + k] = weight;
      ids[static_cast<u64>(row) * topK + k] = expert;
      chosen += weight;
    }
    if (k + 1 < topK && expert / kPerLoad % kLanes == lane) {
      const int slot = expert / (kPerLoad * kLanes) * kPerLoad + expert % kPerLoad;
#pragma unroll
      for (int i = 0; i < kPerLane; i++) {
        if (i == slot) values[i] = -10000.0f;
      }
    }
  }
  if (lane == 0 && row < tokens) {
    const float factor = reciprocal_approximate(chosen > 0.0f ? chosen : 1.0f);
    for (u32 k = 0; k < topK; k++) weights[static_cast<u64>(row) * topK + k] *= factor;
  }
}

}  // namespace ROUTER_NAMESPACE
