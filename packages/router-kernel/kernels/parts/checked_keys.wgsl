// Orders and keys of single logits, with NaN below everything.

#if !VECTOR_LOADS
// The order of one logit, as to_order gives it, for the comparisons and logit_of of this shader.
fn load_order(row: u32, expert: u32) -> u32 {
#if WIDENED_F16
  return to_order(widen_f16(load_bits(row, expert) >> 16u));
#else
  return to_order(load_bits(row, expert));
#end WIDENED_F16
}

#end !VECTOR_LOADS
#if PACKED_KEYS
// `order` is unchecked and in the upper half.
fn to_key(order: u32, tag: u32) -> Key {
  let is_number = order - NEGATIVE_INFINITY_ORDER <= POSITIVE_INFINITY_ORDER - NEGATIVE_INFINITY_ORDER;
  return select(tag, order | tag, is_number);
}
#end PACKED_KEYS
