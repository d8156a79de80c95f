// Many sums over the same 32 lanes at once: each lane learns one of them, in the order of additions that token_sum has.

namespace ROUTER_NAMESPACE {

// The sum over the lanes of an aligned block of 32 of numbers[lane % COUNT], in each lane. COUNT is a power of two up to 32.
// The numbers are lost.
template <int COUNT, int STEP = 1>
ROUTER_INLINE float sum_by_lane(float* numbers) {
  static_assert((COUNT & (COUNT - 1)) == 0 && COUNT <= 32, "a power of two up to the number of lanes");
#if ROUTER_NVIDIA
  // While a lane still has several numbers, it gives its partner those that the partner is to know, and is given the
  // others': one exchange for two numbers.
  if constexpr (COUNT > 1) {
    const bool isOdd = (thread_index() & STEP) != 0;
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      const float kept = isOdd ? numbers[2 * i + 1] : numbers[2 * i];
      const float given = isOdd ? numbers[2 * i] : numbers[2 * i + 1];
      numbers[i] = kept + from_other_half<STEP>(given);
    }
    return sum_by_lane<COUNT / 2, STEP * 2>(numbers);
  } else {
    return token_sum<32, STEP>(numbers[0]);
  }
#else
  // An exchange is part of the addition here, and gives the mirrored lane's number, which has to be of the same sum.
  float own = 0.0f;
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    const float sum = token_sum<32>(numbers[i]);
    own = thread_index() % COUNT == i ? sum : own;
  }
  return own;
#endif
}

}  // namespace ROUTER_NAMESPACE
