// Eight numbers in two bf16 terms, together 16 bits of each.

namespace ROUTER_NAMESPACE {

constexpr int kDenseTerms = 2;
constexpr int kLaneColumns = 8;

ROUTER_INLINE float squares_of_eight(const float* values) {
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kLaneColumns; i++) squares = multiply_add(values[i], values[i], squares);
  return squares;
}

ROUTER_INLINE void multiply_eight(float* values, const float* gains) {
#pragma unroll
  for (int i = 0; i < kLaneColumns; i++) values[i] = rounded_product(values[i], gains[i]);
}

struct DenseTerms {
  Words4 words[kDenseTerms];

  ENGINE_METHOD void take(const float* values) {
    float left[kLaneColumns];
#pragma unroll
    for (int i = 0; i < kLaneColumns; i++) left[i] = values[i];
#pragma unroll
    for (int term = 0; term < kDenseTerms; term++) {
      words[term].x = take_pair(left);
      words[term].y = take_pair(left + 2);
      words[term].z = take_pair(left + 4);
      words[term].w = take_pair(left + 6);
    }
  }

  // The nearest bf16 of two numbers; what they leave is left.
  static ENGINE_METHOD u32 take_pair(float* left) {
    const u32 pair = nearest_bf16_pair(left[0], left[1]);
    left[0] = rounded_sum(left[0], -low_bf16(pair));
    left[1] = rounded_sum(left[1], -high_bf16(pair));
    return pair;
  }
};

}  // namespace ROUTER_NAMESPACE
