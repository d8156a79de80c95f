// After FlashInfer's fused routing (trtllm_fused_moe_routing_*): a wave a token, K rounds of a maximum over packed keys,
// softmax over the winners; then slots are sorted by expert in one of three ways.
//
//   up to 16 tokens   one block: a table of bytes, [tokens][experts], with a thread for each expert
//   up to 256         a cluster of 8 blocks: a histogram in each, which the others read through distributed shared memory
//   more              a kernel of scores, then one over the grid whose blocks meet at a barrier
//
// The slots of an expert are in the order in which waves arrive, but for one block. For NVIDIA from compute capability 9
// on, as is the original. Logits hold no NaN.

namespace ROUTER_NAMESPACE {

constexpr u32 kExperts = BASELINE_EXPERTS;
constexpr u32 kTopK = BASELINE_TOP_K;
constexpr u32 kThreads = BASELINE_THREADS;
constexpr u32 kWaves = kThreads / kWaveSize;
static_assert(kThreads >= kExperts && kTopK <= kWaveSize, "a thread for each expert, a lane for each winner");
constexpr u32 kPerLane = (kExperts + kWaveSize - 1) / kWaveSize;
constexpr float kLog2E = 1.44269504088896341f;

#if BASELINE_DTYPE == 2
using Logit = float;
using Key = u64;
#else
using Logit = u16;
using Key = u32;
#endif

ROUTER_INLINE u32 wave_max(u32 value) { return __reduce_max_sync(0xffffffffu, value); }
ROUTER_INLINE u64 wave_max(u64 value) {
  const u32 high = wave_max(static_cast<u32>(value >> 32));
  const u32 low = wave_max(static_cast<u32>(value >> 32) == high ? static_cast<u32>(value) : 0u);
  return static_cast<u64>(high) << 32 | low;
}

// Rises with the logit, and of equal ones falls with the expert; never 0.
ROUTER_INLINE Key key_of(Logit logit, u32 expert) {
#if BASELINE_DTYPE == 2
  const u32 bits = float_to_bits(logit);
  const u32 rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<u64>(rising) << 32 | (0xffffu - expert);
#else
  const u32 rising = logit & 0x8000u ? ~static_cast<u32>(logit) & 0xffffu : logit | 0x8000u;
  return rising << 16 | (0xffffu - expert);
#endif
}
ROUTER_INLINE u32 expert_of(Key key) { return 0xffffu - static_cast<u32>(key & 0xffffu); }
ROUTER_INLINE float logit_of(Key key) {
#if BASELINE_DTYPE == 2
  const u32 rising = static_cast<u32>(key >> 32);
  return bits_to_float(rising & 0x80000000u ? rising & 0x7fffffffu : ~rising);
#else
  const u32 rising = key >> 16;
  const u32 half = rising & 0x8000u ? rising & 0x7fffu : ~rising & 0xffffu;
#if BASELINE_DTYPE == 0
  return bits_to_float(half << 16);
#else
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<u16>(half)));
  return value;
#endif
#endif
}

// Routes a token; lane k is given the expert of winner k. Needs every lane of the wave.
ROUTER_INLINE u32 route_token(const void* logits, u32 token, float* weights, i32* ids) {
  const u32 lane = thread_index() % kWaveSize;
  const Logit* row = static_cast<const Logit*>(logits) + static_cast<u64>(token) * kExperts;
  Key keys[kPerLane];
  Key best = 0;
#pragma unroll
  for (u32 i = 0; i < kPerLane; i++) {
    const u32 expert = lane + i * kWaveSize;
    keys[i] = expert < kExperts ? key_of(row[expert], expert) : 0;
    best = larger(best, keys[i]);
  }
  Key own = 0;
#pragma unroll
  for (u32 k = 0; k < kTopK; k++) {
    const Key winner = wave_max(best);
    if (lane == k) own = winner;
    if (best != winner) continue;
    best = 0;
#pragma unroll
    for (u32 i = 0; i < kPerLane; i++) {
      if (keys[i] == winner) keys[i] = 0;
      best = larger(best, keys[i]);
    }
  }
  const float logit = lane < kTopK ? logit_of(own) : -kInfinity;
  const float largest = __shfl_sync(0xffffffffu, logit, 0);
  const float share = exp2_approximate((logit - largest) * kLog2E);
  float sum = share;
#pragma unroll
  for (u32 step = kWaveSize / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (lane < kTopK) {
    weights[token * kTopK + lane] = share * reciprocal_approximate(sum);
    ids[token * kTopK + lane] = static_cast<i32>(expert_of(own));
  }
  return expert_of(own);
}

// The sum of the values of the threads before this one, and of all.
ROUTER_INLINE u32 sum_of_threads_before(u32 value, u32* all) {
  __shared__ u32 sums[kWaves];
  const u32 wave = thread_index() / kWaveSize;
  const u32 before = sum_of_lanes_before(value);
  if (thread_index() % kWaveSize == kWaveSize - 1) sums[wave] = before + value;
  block_barrier();
  return before + sum_of_first<kWaves>(sums, wave, all);
}

#if BASELINE_WAY == 0

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void* logits, float* weights, i32* ids, i32* expertOffsets, i32* sortedSlots, u32*,
                    u32 tokens) {
  constexpr u32 kMostTokens = 16;
  // The winner's number and 1; 0 where the token does not go to the expert.
  __shared__ u8 winners[kMostTokens][kExperts];
  for (u32 i = thread_index(); i < tokens * kExperts; i += kThreads) (&winners[0][0])[i] = 0;
  block_barrier();
  logits = once_kernel_before_is_done(static_cast<const u8*>(logits));
  for (u32 token = thread_index() / kWaveSize; token < tokens; token += kWaves) {
    const u32 expert = route_token(logits, token, weights, ids);
    const u32 lane = thread_index() % kWaveSize;
    if (lane < kTopK) winners[token][expert] = static_cast<u8>(lane + 1);
  }
  let_kernel_after_begin();
  block_barrier();
  const u32 expert = thread_index();
  u32 count = 0;
  if (expert < kExperts) {
    for (u32 token = 0; token < tokens; token++) count += winners[token][expert] != 0;
  }
  u32 all;
  u32 next = sum_of_threads_before(count, &all);
  if (expert == 0) expertOffsets[kExperts] = static_cast<i32>(all);
  if (expert >= kExperts) return;
  expertOffsets[expert] = static_cast<i32>(next);
  for (u32 token = 0; token < tokens; token++) {
    const u32 winner = winners[token][expert];
    if (winner != 0) sortedSlots[next++] = static_cast<i32>(token * kTopK + winner - 1);
  }
}

#elif BASELINE_WAY == 1

constexpr u32 kClusterBlocks = 8;

ROUTER_INLINE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" : : : "memory");
}

// What another block of the cluster has at the place of `own`.
ROUTER_INLINE u32 of_block(const u32* own, u32 block) {
  const u32 address = static_cast<u32>(__cvta_generic_to_shared(own));
  u32 value;
  asm volatile(
      "{\n.reg .u32 there;\nmapa.shared::cluster.u32 there, %1, %2;\nld.shared::cluster.u32 %0, [there];\n}"
      : "=r"(value)
      : "r"(address), "r"(block)
      : "memory");
  return value;
}

extern "C" __global__ void __cluster_dims__(8, 1, 1) ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void* logits, float* weights, i32* ids, i32* expertOffsets, i32* sortedSlots, u32*,
                    u32 tokens) {
  __shared__ u32 counts[kExperts];
  __shared__ u32 starts[kExperts];
  const u32 lane = thread_index() % kWaveSize;
  const u32 token = block_index() * kWaves + thread_index() / kWaveSize;
  for (u32 i = thread_index(); i < kExperts; i += kThreads) counts[i] = 0;
  block_barrier();
  logits = once_kernel_before_is_done(static_cast<const u8*>(logits));
  u32 expert = 0;
  u32 rank = 0;
  if (token < tokens) {
    expert = route_token(logits, token, weights, ids);
    if (lane < kTopK) rank = atomicAdd(&counts[expert], 1u);
  }
  let_kernel_after_begin();
  cluster_barrier();
  u32 before = 0;
  u32 count = 0;
  if (thread_index() < kExperts) {
#pragma unroll
    for (u32 block = 0; block < kClusterBlocks; block++) {
      const u32 there = of_block(&counts[thread_index()], block);
      before += block < block_index() ? there : 0;
      count += there;
    }
  }
  u32 all;
  const u32 offset = sum_of_threads_before(count, &all);
  if (thread_index() < kExperts) {
    starts[thread_index()] = offset + before;
    if (block_index() == 0) expertOffsets[thread_index()] = static_cast<i32>(offset);
  }
  if (block_index() == 0 && thread_index() == 0) expertOffsets[kExperts] = static_cast<i32>(all);
  block_barrier();
  if (token < tokens && lane < kTopK) {
    sortedSlots[starts[expert] + rank] = static_cast<i32>(token * kTopK + lane);
  }
  // Nobody leaves while others still read its counts.
  cluster_barrier();
}

#elif BASELINE_WAY == 2

// Of the workspace: how many blocks have arrived and left; how many slots each expert has.
constexpr u32 kWorkspaceCounts = 4;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void* logits, float* weights, i32* ids, i32*, i32*, u32* workspace, u32 tokens) {
  logits = once_kernel_before_is_done(static_cast<const u8*>(logits));
  if (block_index() == 0) {
    for (u32 i = thread_index(); i < kExperts; i += kThreads) workspace[kWorkspaceCounts + i] = 0;
  }
  const u32 token = block_index() * kWaves + thread_index() / kWaveSize;
  if (token < tokens) route_token(logits, token, weights, ids);
  let_kernel_after_begin();
}

#else

constexpr u32 kWorkspaceCounts = 4;
// Slots that a thread takes at most.
constexpr u32 kMostSlots = 16;

// The original is launched cooperatively; here the grid is smaller than the device, which has nothing else to do.
extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(BASELINE_THREADS)
    BASELINE_SYMBOL(const void*, float*, i32* ids, i32* expertOffsets, i32* sortedSlots, u32* workspace, u32 tokens) {
  __shared__ u32 counts[kExperts];
  __shared__ u32 starts[kExperts];
  for (u32 i = thread_index(); i < kExperts; i += kThreads) counts[i] = 0;
  block_barrier();
  const i32* chosen = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(ids)));
  let_kernel_after_begin();
  const u32 slots = tokens * kTopK;
  const u32 step = gridDim.x * kThreads;
  u32 experts[kMostSlots];
  u32 ranks[kMostSlots];
#pragma unroll
  for (u32 i = 0; i < kMostSlots; i++) {
    const u32 slot = block_index() * kThreads + thread_index() + i * step;
    if (slot >= slots) continue;
    experts[i] = static_cast<u32>(chosen[slot]);
    ranks[i] = atomicAdd(&counts[experts[i]], 1u);
  }
  block_barrier();
  u32 base = 0;
  const u32 expert = thread_index();
  if (expert < kExperts) base = atomicAdd(&workspace[kWorkspaceCounts + expert], counts[expert]);
  __threadfence();
  block_barrier();
  if (thread_index() == 0) {
    atomicAdd(&workspace[0], 1u);
    while (atomicAdd(&workspace[0], 0u) < gridDim.x) {
    }
    __threadfence();
  }
  block_barrier();
  const u32 count = expert < kExperts ? __ldcg(&workspace[kWorkspaceCounts + expert]) : 0;
  u32 all;
  const u32 offset = sum_of_threads_before(count, &all);
  if (expert < kExperts) {
    starts[expert] = offset + base;
    if (block_index() == 0) expertOffsets[expert] = static_cast<i32>(offset);
  }
  if (block_index() == 0 && thread_index() == 0) expertOffsets[kExperts] = static_cast<i32>(all);
  block_barrier();
#pragma unroll
  for (u32 i = 0; i < kMostSlots; i++) {
    const u32 slot = block_index() * kThreads + thread_index() + i * step;
    if (slot < slots) sortedSlots[starts[experts[i]] + ranks[i]] = static_cast<i32>(slot);
  }
  if (thread_index() == 0 && atomicAdd(&workspace[1], 1u) == gridDim.x - 1) {
    workspace[0] = 0;
    workspace[1] = 0;
  }
}

#endif

}  // namespace ROUTER_NAMESPACE
