/** kernels/parts/orders.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const ORDERS_WGSL = {
  file: 'kernels/parts/orders.wgsl',
  text: `// Orders: the values of logits and of choice scores as unsigned numbers, which are compared where shader compilers may
// assume that floats are never infinite and never NaN.

// The bits of a float (f32, or a 16-bit float in the upper half) as an unsigned number that orders like its value:
// 0x80000000 plus or minus the magnitude, so that -0 and +0 are equal. NaN is left where it falls.
fn to_unchecked_order(bits: u32) -> u32 {
  return select(bits ^ 0x80000000u, 0u - bits, bits >= 0x80000000u);
}

// The same with NaN below everything, at 0.
fn to_order(bits: u32) -> u32 {
  let order = to_unchecked_order(bits);
  return select(0u, order, order - NEGATIVE_INFINITY_ORDER <= POSITIVE_INFINITY_ORDER - NEGATIVE_INFINITY_ORDER);
}

fn from_order(order: u32) -> u32 {
  return select(0u - order, order ^ 0x80000000u, order >= 0x80000000u);
}

#if F16
// f16 bits to f32 bits, by integers: shader compilers may assume that floats are never infinite.
fn widen_f16(bits: u32) -> u32 {
  let sign = (bits & 0x8000u) << 16u;
  let magnitude = bits & 0x7FFFu;
  let bias = select(0x38000000u, 0x70000000u, magnitude >= 0x7C00u);
  let subnormal = bitcast<u32>(f32(magnitude) * 0x1p-24f);
  return sign | select((magnitude << 13u) + bias, subnormal, magnitude < 0x0400u);
}

#end F16
fn logit_of(order: u32) -> f32 {
#if F16_ORDER
  return bitcast<f32>(widen_f16(from_order(order) >> 16u));
#else
  return bitcast<f32>(from_order(order));
#end F16_ORDER
}
`,
};
