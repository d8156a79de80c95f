// Numbers in f64 that lie in the step block as two words, the low one first.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE double step_double(const u8* step, i32 index) {
  const u64 low = static_cast<u32>(step_word(step, index));
  const u64 high = static_cast<u32>(step_word(step, index + 1));
  return bits_to_double(high << 32 | low);
}

}  // namespace ROUTER_NAMESPACE
