// The clamped SwiGLU of GPT-OSS:
//
//   gate <- min(gate, limit), up <- clamp(up, -limit, limit), output = (up + 1) * gate * sigmoid(1.702 * gate)

namespace ROUTER_NAMESPACE {

constexpr float kAlphaLog2E = 1.702f * 1.44269504088896340736f;

ROUTER_INLINE float swiglu(float gate, float up) {
  // Written so that NaN stays what it is, and shows in the logits.
  const float limited = smaller(MODEL_SWIGLU_LIMIT, gate);
  const float linear = smaller(MODEL_SWIGLU_LIMIT, larger(up, -MODEL_SWIGLU_LIMIT));
  const float sigmoid = reciprocal_approximate(1.0f + exp2_approximate(rounded_product(limited, -kAlphaLog2E)));
  return rounded_product(rounded_product(limited, sigmoid), linear + 1.0f);
}

}  // namespace ROUTER_NAMESPACE
