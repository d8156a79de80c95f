// What one call binds.

enable subgroups;

// Rows follow each other without gaps, and every binding holds its array and nothing else: the constants and the
// length of the outputs say all that there is to know of the call. Reading it first would delay the logits.
@group(0) @binding(1) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;

// The configuration and the launch geometry, and the bounds of the numbers that are ranked.

const EXPERTS = 128u;
const TOP_K = 4u;
const LANES = 4u;
const WORKGROUP_SIZE = 64u;
const TOKENS_PER_WORKGROUP = WORKGROUP_SIZE / LANES;
// Logits in one element of the logits array or, where those are packed scalars, in one load.
const LOGITS_PER_LOAD = 8u;
const LOADS_PER_ROW = EXPERTS / LOGITS_PER_LOAD;

// Where -Infinity and +Infinity lie in the order of to_order. Below the one and above the other is only NaN, as 0.
const NEGATIVE_INFINITY_ORDER = 0x00800000u;
const POSITIVE_INFINITY_ORDER = 0xFF800000u;
const LARGEST_F32 = 0x1.fffffep+127f;

// Keys: a logit's order and its expert's id, such that the better of two experts has the larger key. "Order" is an
// unsigned number that rises as the logit does (orders.wgsl). Of equal orders the lower id is the better.

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

// Where there are no subgroups, lanes read each other's values in workgroup memory: keys in one array, words in another.

// Orders: the values of logits and of choice scores as unsigned numbers, which are compared where shader compilers may
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

fn logit_of(order: u32) -> f32 {
  return bitcast<f32>(from_order(order));
}

// A row's logits, read as vectors of 16 bytes or one by one.

// One vector of a row. Past the row's end every bit is set: NaN in every format, with ids that lose every tie.
fn load_vector(row: u32, index: u32) -> vec4<u32> {
  return logits[row + index];
}

// to_unchecked_order for each logit of a vector.
fn to_unchecked_orders(words: vec4<u32>) -> vec4<u32> {
  // Both floats of a word at once. No carry leaves a half.
  let signs = (words >> vec4<u32>(15u)) & vec4<u32>(0x00010001u);
  let flips = ((signs << vec4<u32>(16u)) - signs) | vec4<u32>(0x80008000u);
  return (words ^ flips) + signs;
}

// Keys of whole vectors of logits, made without a look at NaN. It then shows at the ends of a sorted list of them: a
// positive NaN is above +Infinity, and a negative one below -Infinity. The rare lane that finds one there searches again
// with care (steps/careful_search.wgsl).

// One logit of a vector; a 16-bit one in the upper half.
fn bits_of(words: vec4<u32>, index: u32) -> u32 {
  let word = words[index >> 1u];
  return select(word << 16u, word & 0xFFFF0000u, (index & 1u) == 1u);
}

fn key_of(order: u32, id: u32) -> Key {
  return order | (0xFFFFu - id);
}

// Whether a sorted list of keys of unchecked orders has a NaN at either end.
fn shows_nan(best: Key, least: Key) -> bool {
  return (best > (POSITIVE_INFINITY_ORDER | 0xFFFFu)) | (least < NEGATIVE_INFINITY_ORDER);
}

// Two searches instead of one, for many tokens, where instructions are what counts. The first ranks chunks of
// neighbouring experts, one vector each, by their best logit; the second ranks the experts of the best chunks, which are
// read again. src/webgpu/kernel/chunks.ts writes both.

// The unchecked order of the largest logit of a vector. Floats of one sign order like their bits as integers, negative
// ones backwards: it is the largest integer or, where all are negative, the least. A positive NaN passes for the
// largest; a negative one is taken only where there is nothing else. An upper half has the lower one's bits below it,
// which decide nothing between different floats, and are dropped in the end.
fn best_of_chunk(words: vec4<u32>) -> u32 {
  // Each pair of comparisons in a row is one instruction where a GPU compares three integers at once.
  let a = bitcast<vec4<i32>>(words);
  let b = bitcast<vec4<i32>>(words << vec4<u32>(16u));
  let largest = max(max(max(max(max(max(max(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let smallest = min(min(min(min(min(min(min(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let of_negative = 0u - (bitcast<u32>(smallest) & 0xFFFF0000u);
  let of_positive = (bitcast<u32>(largest) & 0xFFFF0000u) ^ 0x80000000u;
  return select(of_negative, of_positive, largest >= 0);
}

// Orders and keys of single logits, with NaN below everything.

// `order` is unchecked and in the upper half.
fn to_key(order: u32, tag: u32) -> Key {
  let is_number = order - NEGATIVE_INFINITY_ORDER <= POSITIVE_INFINITY_ORDER - NEGATIVE_INFINITY_ORDER;
  return select(tag, order | tag, is_number);
}

// Values that all lanes of a token come to know.

// The sum of a token's lanes' values, in all of its lanes, in the same order on every path.
fn lanes_sum(value: f32, position: u32) -> f32 {
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
    result += subgroupShuffleXor(result, distance);
  }
  return result;
}

// The fused router: from a row of logits to the K best experts and their weights, in one pass over the row.
//
// LANES invocations share a token. Each turns its logits into keys that order as the contract ranks them, keeps its
// best K sorted, and meets its neighbours in log2(LANES) steps; a step merges two sorted lists of K by taking the
// larger of one and the other reversed, then restoring the order. All lanes of a token end with the same K winners.
// With many tokens the best chunks of a row are found first, and then their best logits (parts/chunks.wgsl). Few tokens of a
// gated router take its gate projection along, and the dispatch plan: the last workgroup that has formed logits routes all
// rows (parts/hand_over_logits.wgsl).
//
// A template (packages/gpu/src/webgpu/template.ts), specialised to one E, K, dtype and set of options when a pipeline is
// made. src/webgpu/kernel/source.ts joins it with its parts, and has the files of the steps that are named here.

@compute @workgroup_size(WORKGROUP_SIZE)
fn route(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  // A subgroup holds neighbouring invocations, yet WGSL does not say in which order.
  let position = subgroupMin(local) + subgroup_lane;
  let lane = position % LANES;
  let token = (workgroup.y * workgroups.x + workgroup.x) * TOKENS_PER_WORKGROUP + position / LANES;
  // Every invocation stays to the end, for barriers and shuffles: those past the last token read whatever WebGPU gives
  // them there, and write nothing.
  let tokens = arrayLength(&weights) / 4u;
  let is_token = token < tokens;
  let row = token * LOADS_PER_ROW;

  // The lane's best keys: w0, w1, ..., the best first.
  let v0 = load_vector(row, 0u + lane);
  let v1 = load_vector(row, 4u + lane);
  let v2 = load_vector(row, 8u + lane);
  let v3 = load_vector(row, 12u + lane);
  var b0 = key_of(best_of_chunk(v0), 0u);
  var b1 = key_of(best_of_chunk(v1), 4u);
  var b2 = key_of(best_of_chunk(v2), 8u);
  var b3 = key_of(best_of_chunk(v3), 12u);
  sort_pair(&b0, &b2);
  sort_pair(&b1, &b3);
  sort_pair(&b0, &b1);
  sort_pair(&b2, &b3);
  sort_pair(&b1, &b2);
  // A sorted list of unchecked keys that shows a NaN is made again from the same vectors, one logit after another. Lanes do
  // this each for itself: nothing is exchanged.
  if (shows_nan(b0, b3)) {
    b0 = LOWEST_KEY;
    b1 = LOWEST_KEY;
    b2 = LOWEST_KEY;
    b3 = LOWEST_KEY;
    for (var load = 0u; load < 4u; load++) {
      let words = load_vector(row, load * 4u + lane);
      var order = 0u;
      for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
        order = max(order, to_order(bits_of(words, i)));
      }
      var key = key_of(order, load * 4u);
      sort_pair(&b0, &key);
      sort_pair(&b1, &key);
      sort_pair(&b2, &key);
      sort_pair(&b3, &key);
    }
  }
  b0 -= lane;
  b1 -= lane;
  b2 -= lane;
  b3 -= lane;
  var q1_0 = subgroupShuffleXor(b0, 1u);
  var q1_1 = subgroupShuffleXor(b1, 1u);
  var q1_2 = subgroupShuffleXor(b2, 1u);
  var q1_3 = subgroupShuffleXor(b3, 1u);
  b0 = larger(b0, q1_3);
  b1 = larger(b1, q1_2);
  b2 = larger(b2, q1_1);
  b3 = larger(b3, q1_0);
  sort_pair(&b0, &b2);
  sort_pair(&b1, &b3);
  sort_pair(&b0, &b1);
  sort_pair(&b2, &b3);
  let own_0 = select(b0, b1, (lane & 1u) != 0u);
  let sent_0 = select(b3, b2, (lane & 1u) != 0u);
  var met_0 = subgroupShuffleXor(sent_0, 2u);
  let best_0 = larger(own_0, met_0);
  let chunk_0 = ~best_0 & 0xFFFFu;
  let u0 = to_unchecked_orders(load_vector(row, chunk_0));
  var c0 = (u0.x << 16u) | 65535u;
  var c1 = (u0.x & 0xFFFF0000u) | 65534u;
  var c2 = (u0.y << 16u) | 65533u;
  var c3 = (u0.y & 0xFFFF0000u) | 65532u;
  var c4 = (u0.z << 16u) | 65531u;
  var c5 = (u0.z & 0xFFFF0000u) | 65530u;
  var c6 = (u0.w << 16u) | 65529u;
  var c7 = (u0.w & 0xFFFF0000u) | 65528u;
  sort_pair(&c0, &c2);
  sort_pair(&c1, &c3);
  sort_pair(&c0, &c1);
  sort_pair(&c2, &c3);
  sort_pair(&c1, &c2);
  sort_pair(&c4, &c6);
  sort_pair(&c5, &c7);
  sort_pair(&c4, &c5);
  sort_pair(&c6, &c7);
  sort_pair(&c5, &c6);
  c0 = larger(c0, c7);
  c1 = larger(c1, c6);
  c2 = larger(c2, c5);
  c3 = larger(c3, c4);
  sort_pair(&c0, &c2);
  sort_pair(&c1, &c3);
  sort_pair(&c0, &c1);
  sort_pair(&c2, &c3);
  c0 -= chunk_0 * 8u;
  c1 -= chunk_0 * 8u;
  c2 -= chunk_0 * 8u;
  c3 -= chunk_0 * 8u;
  // A sorted list of unchecked keys that shows a NaN is made again from the same vectors, one logit after another. Lanes do
  // this each for itself: nothing is exchanged.
  if (shows_nan(c0, c3)) {
    c0 = LOWEST_KEY;
    c1 = LOWEST_KEY;
    c2 = LOWEST_KEY;
    c3 = LOWEST_KEY;
    for (var load = 0u; load < 1u; load++) {
      let words = load_vector(row, chunk_0);
      for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
        var key = key_of(to_order(bits_of(words, i)), chunk_0 * 8u + i);
        sort_pair(&c0, &key);
        sort_pair(&c1, &key);
        sort_pair(&c2, &key);
        sort_pair(&c3, &key);
      }
    }
  }
  var w0 = c0;
  var w1 = c1;
  var w2 = c2;
  var w3 = c3;

  // The best keys of the token, in every lane: winner_0, winner_1, ..., or this lane's share of them.
  var p1_0 = subgroupShuffleXor(w0, 1u);
  var p1_1 = subgroupShuffleXor(w1, 1u);
  var p1_2 = subgroupShuffleXor(w2, 1u);
  var p1_3 = subgroupShuffleXor(w3, 1u);
  w0 = larger(w0, p1_3);
  w1 = larger(w1, p1_2);
  w2 = larger(w2, p1_1);
  w3 = larger(w3, p1_0);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  var p2_0 = subgroupShuffleXor(w0, 2u);
  var p2_1 = subgroupShuffleXor(w1, 2u);
  var p2_2 = subgroupShuffleXor(w2, 2u);
  var p2_3 = subgroupShuffleXor(w3, 2u);
  w0 = larger(w0, p2_3);
  w1 = larger(w1, p2_2);
  w2 = larger(w2, p2_1);
  w3 = larger(w3, p2_0);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  let winner_0 = select(select(w0, w2, (lane & 2u) != 0u), select(w1, w3, (lane & 2u) != 0u), (lane & 1u) != 0u);

  // The winners' ids, and the orders of their logits; the best logit of the row, and its sum where that is needed.
  let id_0 = ~winner_0 & 0xFFFFu;
  let order_0 = winner_0 & 0xFFFF0000u;
  let row_top = w0 & 0xFFFF0000u;

  // Weights by softmax: share_0, share_1, ..., each to be multiplied by `unit`.
  let top = row_top;
  var share_0 = exp(logit_of(order_0) - logit_of(top));
  // The orders fall: all of them are of finite numbers where the first and the last are.
  if ((top >= POSITIVE_INFINITY_ORDER) | (order_0 <= NEGATIVE_INFINITY_ORDER)) {
    share_0 = share(order_0, top);
  }
  var total = share_0;
  total = lanes_sum(total, position);
  let unit = 1.0f / total;

  // The final ids and weights: id -1 and weight 0 for padding, and for experts outside of the range.
  let final_id_0 = id_0;
  let weight_0 = share_0 * unit;

  if (!is_token) {
    return;
  }
  weights[(token * LANES + lane) * 1u + 0u] = weight_0;
  ids[(token * LANES + lane) * 1u + 0u] = final_id_0;
}

// What weights and choice scores are made of: each scoring's function of a logit, by the rules of the contract.

// A logit's share before the division by the sum of all shares: e^(x - top); with +Infinity on top, 1 for +Infinity
// and 0 else; with nothing above -Infinity, 1.
fn share(order: u32, top: u32) -> f32 {
  let of_finite = select(exp(logit_of(order) - logit_of(top)), 0.0, order <= NEGATIVE_INFINITY_ORDER);
  let of_infinite = select(0.0, 1.0, order >= POSITIVE_INFINITY_ORDER);
  let of_number = select(of_finite, of_infinite, top >= POSITIVE_INFINITY_ORDER);
  return select(of_number, 1.0, top <= NEGATIVE_INFINITY_ORDER);
}

