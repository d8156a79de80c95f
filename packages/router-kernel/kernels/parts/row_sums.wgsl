// The sum that a softmax over the whole row divides by.

// The lane's part of the sum of a row's shares.
fn lane_share_sum(row: u32, lane: u32, top: u32) -> f32 {
  var sum = 0.0;
  for (var index = lane; index < LOADS_PER_ROW; index += LANES) {
#if VECTOR_LOADS
    let words = load_vector(row, index);
    for (var i = 0u; i < 4u; i++) {
#if HALVES
      sum += share(to_order(words[i] << 16u), top);
      sum += share(to_order(words[i] & 0xFFFF0000u), top);
#else
      sum += share(to_order(words[i]), top);
#end HALVES
    }
#else
    sum += share(load_order(row, index), top);
#end VECTOR_LOADS
  }
  return sum;
}
