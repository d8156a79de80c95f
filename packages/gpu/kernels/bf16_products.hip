// Products of tiles of bf16 with f32 sums, by the matrix units of NVIDIA from compute capability 8.0 on; no other GPU's
// kernels have this part, only their emulation. Two bf16 lie in a word, the earlier one in the low half.

namespace ROUTER_NAMESPACE {

// sums[16 rows, 8 columns] += left[16 rows, 16 terms] * right[16 terms, 8 columns]. Of lane 4 * g + c
//
//   left    rows g and g + 8, terms 2c, 2c + 1 in words 0 and 1, terms 2c + 8, 2c + 9 in words 2 and 3
//   right   column g, terms 2c, 2c + 1 in word 0, terms 2c + 8, 2c + 9 in word 1
//   sums    row g, columns 2c, 2c + 1 in 0 and 1; row g + 8, the same columns, in 2 and 3
#if ROUTER_NVIDIA
ROUTER_INLINE void add_bf16_product(float (&sums)[4], const u32 (&left)[4], const u32 (&right)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

// The nearest bf16 of two numbers, the even one of two; NaN stays NaN.
ROUTER_INLINE u32 nearest_bf16_pair(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// Each half's product, rounded once; subnormal numbers count.
ROUTER_INLINE u32 bf16_pair_product(u32 a, u32 b) {
  u32 product;
  // Minus zero leaves every product as it is.
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
}
#else
ROUTER_INLINE void add_bf16_product(float (&sums)[4], const u32 (&left)[4], const u32 (&right)[2]) {
  __builtin_emulated_mma_sync(sums, left[0], left[1], left[2], left[3], right[0], right[1]);
}
ROUTER_INLINE u32 nearest_bf16(float value) {
  const u32 bits = float_to_bits(value);
  const u32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value == value ? rounded : (bits >> 16) | 0x40u;
}
ROUTER_INLINE u32 nearest_bf16_pair(float low, float high) { return nearest_bf16(low) | nearest_bf16(high) << 16; }
ROUTER_INLINE u32 bf16_pair_product(u32 a, u32 b) {
  return nearest_bf16_pair(rounded_product(bits_to_float(a << 16), bits_to_float(b << 16)),
                           rounded_product(bits_to_float(a & 0xffff0000u), bits_to_float(b & 0xffff0000u)));
}
#endif

}  // namespace ROUTER_NAMESPACE
