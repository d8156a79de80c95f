// Arithmetic in f64 whose every operation is rounded once, as IEEE 754 says: never fused, so that a CPU gets the same
// bits by the same operations.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE double rounded_product(double a, double b) { return __dmul_rn(a, b); }
ROUTER_INLINE double rounded_sum(double a, double b) { return __dadd_rn(a, b); }
ROUTER_INLINE double rounded_quotient(double a, double b) { return __ddiv_rn(a, b); }
ROUTER_INLINE double rounded_down(double value) { return floor(value); }
ROUTER_INLINE double bits_to_double(u64 bits) { return __longlong_as_double(static_cast<i64>(bits)); }
#else
ROUTER_INLINE double rounded_product(double a, double b) {
#pragma clang fp contract(off)
  return a * b;
}
ROUTER_INLINE double rounded_sum(double a, double b) {
#pragma clang fp contract(off)
  return a + b;
}
ROUTER_INLINE double rounded_quotient(double a, double b) {
#pragma clang fp contract(off)
  return a / b;
}
ROUTER_INLINE double rounded_down(double value) { return __builtin_floor(value); }
ROUTER_INLINE double bits_to_double(u64 bits) { return __builtin_bit_cast(double, bits); }
#endif

// e^x for x from -708 to 0, 0 below: the operations of the engine's sampler (packages/engine/src/sampling/exact-exp.ts),
// one by one. Cody and Waite 1980: x = k ln 2 + r, e^x = 2^k e^r.
ROUTER_INLINE double exact_exp(double x) {
  if (x < -708.0) return 0.0;
  const double k = rounded_down(rounded_sum(rounded_product(x, 1.4426950408889634), 0.5));
  const double r = rounded_sum(rounded_sum(x, -rounded_product(k, 0.6931471803691238)),
                               -rounded_product(k, 1.9082149292705877e-10));
  // 1 / n! for n from 13 down to 0.
  constexpr double kTerms[] = {1.6059043836821613e-10, 2.08767569878681e-9,    2.505210838544172e-8,
                               2.755731922398589e-7,   2.7557319223985893e-6,  2.48015873015873e-5,
                               0.0001984126984126984,  0.001388888888888889,   0.008333333333333333,
                               0.041666666666666664,   0.16666666666666666,    0.5,
                               1.0,                    1.0};
  double sum = kTerms[0];
#pragma unroll
  for (int n = 1; n < 14; n++) sum = rounded_sum(rounded_product(sum, r), kTerms[n]);
  return rounded_product(sum, bits_to_double(static_cast<u64>(static_cast<i64>(k) + 1023) << 52));
}

}  // namespace ROUTER_NAMESPACE
