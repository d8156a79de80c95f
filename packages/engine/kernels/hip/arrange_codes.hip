// Puts the eight codes of each word of an MXFP4 matrix where mxfp4_rows.hip finds them with the fewest instructions;
// once, at load, in place. A code is a sign and three bits of magnitude, and column k's is in bits 4k .. 4k + 3. What a
// number needs in an f32 is bit 31 and bits 24 .. 22:
//
//   codes 0 to 5   at those places, moved down by 0, 3, 6, 16, 19 and 22
//   code 6         sign in bit 30, magnitude in bits 29, 27 and 26
//   code 7         the same, 16 bits lower

namespace ROUTER_NAMESPACE {

ROUTER_INLINE u32 arranged_code(u32 word, int index, int down) {
  const u32 code = word >> (4 * index);
  return (((code & 8u) << 28) | ((code & 7u) << 22)) >> down;
}

ROUTER_INLINE u32 remaining_code(u32 word, int index, int down) {
  const u32 code = word >> (4 * index);
  return (((code & 8u) << 27) | ((code & 4u) << 27) | ((code & 3u) << 26)) >> down;
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS) arrange_codes(u32* words, u32 count) {
  const u64 index = static_cast<u64>(block_index()) * kThreads + thread_index();
  if (index >= count) return;
  const u32 word = words[index];
  words[index] = arranged_code(word, 0, 0) | arranged_code(word, 1, 3) | arranged_code(word, 2, 6) |
                 arranged_code(word, 3, 16) | arranged_code(word, 4, 19) | arranged_code(word, 5, 22) |
                 remaining_code(word, 6, 0) | remaining_code(word, 7, 16);
}

}  // namespace ROUTER_NAMESPACE
