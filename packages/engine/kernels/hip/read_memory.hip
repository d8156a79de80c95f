// Reads a piece of memory and does nothing with it: what the fastest reading of weights would take. Pieces of 16 bytes go
// to the threads of the grid one after the other; `found` is written to where all words of a thread cancel out, which
// keeps the loads.

namespace ROUTER_NAMESPACE {

constexpr u32 kLoadsAtOnce = 8;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    read_memory(const u8* memory, u32* found, u32 pieces, u32 blocks) {
  const u32 stride = blocks * kThreads;
  u32 mixed = 1;
  for (u32 piece = block_index() * kThreads + thread_index(); piece < pieces; piece += stride * kLoadsAtOnce) {
    Words4 words[kLoadsAtOnce];
#pragma unroll
    for (u32 i = 0; i < kLoadsAtOnce; i++) {
      const u32 at = smaller(piece + i * stride, pieces - 1);
      words[i] = load_streamed_words4(memory + static_cast<u64>(at) * 16);
    }
#pragma unroll
    for (u32 i = 0; i < kLoadsAtOnce; i++) mixed ^= words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
  }
  if (mixed == 0) *found = 1;
}

}  // namespace ROUTER_NAMESPACE
