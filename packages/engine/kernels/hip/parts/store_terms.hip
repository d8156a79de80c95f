// Rows in one to three terms of bf16, as products by matrix tiles read them: [rows, TERMS * COLUMNS]. A term of a number is
// what the rounding of those before has left, so that two together have 16 bits of it, and three all.

namespace ROUTER_NAMESPACE {

// The nearest bf16 of two numbers; what they leave is left.
ROUTER_INLINE u32 take_pair(float* left) {
  const u32 pair = bf16_pair(left[0], left[1]);
  left[0] = rounded_sum(left[0], -low_bf16(pair));
  left[1] = rounded_sum(left[1], -high_bf16(pair));
  return pair;
}

// Columns `column` and `column` + 1 of a row; `column` is even.
template <int TERMS, int COLUMNS>
ROUTER_INLINE void store_terms(u32* row, int column, float low, float high) {
  float left[2] = {low, high};
#pragma unroll
  for (int term = 0; term < TERMS; term++) row[(term * COLUMNS + column) / 2] = take_pair(left);
}

}  // namespace ROUTER_NAMESPACE
