// Keys: a logit's order and its expert's id, such that the better of two experts has the larger key. "Order" is an
// unsigned number that rises as the logit does (orders.wgsl). Of equal orders the lower id is the better.

#if PACKED_KEYS
// The order of a 16-bit logit above 0xFFFF - id: one unsigned comparison knows the value, the id and the tie rule.
alias Key = u32;
const LOWEST_KEY = 0u;

fn larger(a: Key, b: Key) -> Key {
  return max(a, b);
}

fn sort_pair(a: ptr<function, Key>, b: ptr<function, Key>) {
  let above = max(*a, *b);
  *b = min(*a, *b);
  *a = above;
}
#else
// x: the order of the value; y: the id.
alias Key = vec2<u32>;
const LOWEST_KEY = vec2<u32>(0u, 0xFFFF0000u);

// Without && and ||: they branch, and a sorting network would branch at every comparator.
fn is_before(a: Key, b: Key) -> bool {
  return (a.x > b.x) | ((a.x == b.x) & (a.y < b.y));
}

fn larger(a: Key, b: Key) -> Key {
  return select(a, b, is_before(b, a));
}

fn sort_pair(a: ptr<function, Key>, b: ptr<function, Key>) {
  let swap = is_before(*b, *a);
  let above = select(*a, *b, swap);
  *b = select(*b, *a, swap);
  *a = above;
}
#end PACKED_KEYS
