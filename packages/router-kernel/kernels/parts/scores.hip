// From logits to scores and weights, by the rules of the contract. Logits come as f32, with NaN as -Inf: both score 0.
//
// Scores are ranked by, and experts of equal logit and equal bias must come out equal, whichever slots of whichever lanes
// hold them. So where a product meets a sum, the code says whether the two are fused (multiply_add) or not (rounded_sum).

namespace ROUTER_NAMESPACE {

enum class Scoring { softmax = 0, sigmoid = 1, sqrtsoftplus = 2 };
constexpr Scoring kScoring = static_cast<Scoring>(ROUTER_SCORING);
constexpr bool kRenormalize = ROUTER_RENORMALIZE;

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;
constexpr float kMaxFloat = 3.402823466e38f;
constexpr float kRenormalizeEpsilon = 1e-20f;

// e^x for x <= 0. x * log2(e) is rounded once; the part that rounding drops is put back, so that the error stays near
// the hardware's 2 units however large |x| is.
ROUTER_INLINE float exp_of_negative(float x) {
  const float exponent = x * kLog2E;
  const float power = exp2_approximate(exponent);
  const float dropped = multiply_add(x, 1.92596299e-8f, multiply_add(x, kLog2E, -exponent));
  return x < -126.0f ? 0.0f : multiply_add(power, dropped * kLn2, power);
}

// e^(logit - largest), with equal logits, infinite ones too, giving 1.
ROUTER_INLINE float share_of(float logit, float largest) {
  // Inf - Inf is NaN, which counts as no difference.
  return exp2_approximate(smaller_number((logit - largest) * kLog2E, 0.0f));
}

ROUTER_INLINE float sigmoid(float logit) {
  const float power = exp_of_negative(-absolute(logit));
  return (logit < 0.0f ? power : 1.0f) * reciprocal_approximate(1.0f + power);
}

// sqrt(log(1 + e^x)) = sqrt(max(x, 0) + log(1 + u)), u = e^-|x|, log(1 + u) = 2 atanh(u / (2 + u)). Where u is small
// and x negative the root is e^(x / 2), which does not underflow as early as u does.
ROUTER_INLINE float sqrt_softplus(float logit) {
  const float u = exp_of_negative(-absolute(logit));
  const float ratio = u * reciprocal_approximate(2.0f + u);
  const float square = ratio * ratio;
  float series = 1.0f / 13.0f;
  series = multiply_add(series, square, 1.0f / 11.0f);
  series = multiply_add(series, square, 1.0f / 9.0f);
  series = multiply_add(series, square, 1.0f / 7.0f);
  series = multiply_add(series, square, 1.0f / 5.0f);
  series = multiply_add(series, square, 1.0f / 3.0f);
  const float halfLog1p = multiply_add(ratio * square, series, ratio);
  const float root = sqrt_approximate(multiply_add(2.0f, halfLog1p, larger(logit, 0.0f)));
  return logit < -17.0f ? exp_of_negative(0.5f * logit) : smaller(root, kMaxFloat);
}

// What the softmax over a whole row needs.
struct RowSums {
  float largest;  // -Inf where no logit is above it
  float shares;   // the sum of share_of over the row
};

ROUTER_INLINE float clamp_to_finite(float value) { return smaller(larger(value, -kMaxFloat), kMaxFloat); }

// logits: those of the K winners. best: the largest of them. Fills weights [K].
ROUTER_INLINE void weights_of_winners(const float* logits, float best, RowSums row, float scale, float* weights) {
  const bool isDead = row.largest == -kInfinity;
  if constexpr (kScoring == Scoring::softmax) {
    // K winners at -Inf share equally, which share_of gives by itself.
    const float largest = kRenormalize ? best : row.largest;
    float sum = kRenormalize ? 0.0f : (isDead ? static_cast<float>(kTopK) : row.shares);
#pragma unroll
    for (int k = 0; k < kTopK; k++) {
      const bool isLargest = kRenormalize && !kRanksByChoice && k == 0;
      weights[k] = isLargest ? 1.0f : share_of(logits[k], largest);
      if constexpr (kRenormalize) sum += weights[k];
    }
    const float factor = reciprocal_approximate(sum);
#pragma unroll
    for (int k = 0; k < kTopK; k++) weights[k] = weights[k] * scale * factor;
  } else {
    const bool hasInfinity = kScoring == Scoring::sqrtsoftplus && kRenormalize && best == kInfinity;
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < kTopK; k++) {
      if constexpr (kScoring == Scoring::sigmoid) {
        weights[k] = sigmoid(logits[k]);
      } else {
        weights[k] = sqrt_softplus(logits[k]);
        if (hasInfinity) weights[k] = logits[k] == best ? 1.0f : 0.0f;
      }
      if (isDead) weights[k] = 1.0f;
      sum += weights[k];
    }
    if (isDead) sum = static_cast<float>(kTopK);
    const bool divides = kRenormalize || isDead;
    const float factor = divides ? reciprocal_approximate(larger(sum, kRenormalizeEpsilon)) : 1.0f;
#pragma unroll
    for (int k = 0; k < kTopK; k++) weights[k] = clamp_to_finite(weights[k] * factor * scale);
  }
}

// A row's scores for ranking, one for each of the lane's slots; 0 for NaN and -Inf. Needs every lane of the token.
ROUTER_INLINE RowSums scores_for_ranking(const float* logits, float* scores) {
  RowSums row = {-kInfinity, 0.0f};
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) row.largest = larger(row.largest, logits[slot]);
  row.largest = token_max<kLanes>(row.largest);
  if constexpr (kScoring == Scoring::softmax) {
    const bool isDead = row.largest == -kInfinity;
    const bool isInfinite = row.largest == kInfinity;
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) {
      const float finite = logits[slot] == row.largest ? 1.0f : exp_of_negative(logits[slot] - row.largest);
      const float infinite = logits[slot] == row.largest ? 1.0f : 0.0f;
      scores[slot] = isDead ? 0.0f : (isInfinite ? infinite : finite);
      row.shares += scores[slot];
    }
    row.shares = token_sum<kLanes>(row.shares);
    const float factor = isDead ? 0.0f : reciprocal_approximate(row.shares);
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) scores[slot] = rounded_product(scores[slot], factor);
  } else {
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) {
      scores[slot] = kScoring == Scoring::sigmoid ? sigmoid(logits[slot]) : sqrt_softplus(logits[slot]);
    }
  }
  return row;
}

// The same sums where the largest logit is known already and only the softmax over the row is wanted.
ROUTER_INLINE RowSums sums_of_row(const u32* words, u32 lane, float largest) {
  RowSums row = {largest, 0.0f};
  if constexpr (kScoring == Scoring::softmax && !kRenormalize) {
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) {
      const float logit = logit_of_slot(words, lane, slot);
      row.shares += logit != logit ? 0.0f : share_of(logit, largest);
    }
    row.shares = token_sum<kLanes>(row.shares);
  }
  return row;
}

}  // namespace ROUTER_NAMESPACE
