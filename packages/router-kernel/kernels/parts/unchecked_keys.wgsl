// Keys of whole vectors of logits, made without a look at NaN. It then shows at the ends of a sorted list of them: a
// positive NaN is above +Infinity, and a negative one below -Infinity. The rare lane that finds one there searches again
// with care (steps/careful_search.wgsl).

// One logit of a vector; a 16-bit one in the upper half.
fn bits_of(words: vec4<u32>, index: u32) -> u32 {
#if HALVES
  let word = words[index >> 1u];
  return select(word << 16u, word & 0xFFFF0000u, (index & 1u) == 1u);
#else
  return words[index];
#end HALVES
}

#if PACKED_KEYS
fn key_of(order: u32, id: u32) -> Key {
  return order | (0xFFFFu - id);
}

// Whether a sorted list of keys of unchecked orders has a NaN at either end.
fn shows_nan(best: Key, least: Key) -> bool {
  return (best > (POSITIVE_INFINITY_ORDER | 0xFFFFu)) | (least < NEGATIVE_INFINITY_ORDER);
}
#else
fn key_of(order: u32, id: u32) -> Key {
  return Key(order, id);
}

// Whether a sorted list of keys of unchecked orders has a NaN at either end.
fn shows_nan(best: Key, least: Key) -> bool {
  return (best.x > POSITIVE_INFINITY_ORDER) | (least.x < NEGATIVE_INFINITY_ORDER);
}
#end PACKED_KEYS
