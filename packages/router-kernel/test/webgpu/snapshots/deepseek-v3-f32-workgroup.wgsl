// What one call binds.

// Offsets and strides count elements of the arrays below: vectors where the arrays hold vectors.
struct Call {
  tokens: u32,
  row_stride: u32,
  row_count: u32,
  logits_start: u32,
  weights_start: u32,
  ids_start: u32,
  indices_start: u32,
  has_mask: u32,
  mask_start: u32,
  has_device_row_count: u32,
  device_row_count_start: u32,
  first_token: u32,
  all_tokens: u32,
}

@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> ids: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> correction_bias: array<f32>;
// u8 a token, four to a word.
@group(0) @binding(6) var<storage, read> padding_mask: array<u32>;
@group(0) @binding(7) var<storage, read> device_row_count: array<u32>;

// The configuration and the launch geometry, and the bounds of the numbers that are ranked.

const EXPERTS = 256u;
const TOP_K = 8u;
const LANES = 32u;
const WORKGROUP_SIZE = 64u;
const TOKENS_PER_WORKGROUP = WORKGROUP_SIZE / LANES;
// Logits in one element of the logits array or, where those are packed scalars, in one load.
const LOGITS_PER_LOAD = 1u;
const LOADS_PER_ROW = EXPERTS / LOGITS_PER_LOAD;

// Where -Infinity and +Infinity lie in the order of to_order. Below the one and above the other is only NaN, as 0.
const NEGATIVE_INFINITY_ORDER = 0x00800000u;
const POSITIVE_INFINITY_ORDER = 0xFF800000u;
const LARGEST_F32 = 0x1.fffffep+127f;

// Keys: a logit's order and its expert's id, such that the better of two experts has the larger key. "Order" is an
// unsigned number that rises as the logit does (orders.wgsl). Of equal orders the lower id is the better.

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

// Where there are no subgroups, lanes read each other's values in workgroup memory: keys in one array, words in another.

var<workgroup> exchange: array<Key, 512>;
var<workgroup> cells: array<u32, WORKGROUP_SIZE>;

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

// One logit's bits, a 16-bit one in the upper half; every bit set past the row's end.
fn load_bits(row: u32, expert: u32) -> u32 {
  let at = row + expert;
  let bits = logits[at];
  return bits;
}

// Orders and keys of single logits, with NaN below everything.

// The order of one logit, as to_order gives it, for the comparisons and logit_of of this shader.
fn load_order(row: u32, expert: u32) -> u32 {
  return to_order(load_bits(row, expert));
}

// Values that all lanes of a token come to know.

// The largest of a token's lanes' values, in all of its lanes.
fn lanes_max(value: u32, position: u32) -> u32 {
  cells[position] = value;
  workgroupBarrier();
  var result = 0u;
  for (var lane = 0u; lane < LANES; lane++) {
    result = max(result, cells[position / LANES * LANES + lane]);
  }
  workgroupBarrier();
  return result;
}

// The sum of a token's lanes' values, in all of its lanes, in the same order on every path.
fn lanes_sum(value: f32, position: u32) -> f32 {
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
    cells[position] = bitcast<u32>(result);
    workgroupBarrier();
    result += bitcast<f32>(cells[position ^ distance]);
    workgroupBarrier();
  }
  return result;
}

// Ranking by choice scores (score plus correction bias) instead of logits, and expert groups, the DeepSeek-V3 rule: only
// the experts of the topKGroups best groups are candidates; a group ranks by the sum of its two best choice scores (by its
// best one in DeepSeek-V2's), and of equal groups the lower goes first.

// The orders of the choice scores of the workgroup's tokens; 0 for an expert whose group does not stay.
var<workgroup> choice_orders: array<u32, TOKENS_PER_WORKGROUP * EXPERTS>;
const GROUP_SIZE = 32u;
const GROUPS = EXPERTS / GROUP_SIZE;
const TOP_K_GROUPS = 4u;
var<workgroup> group_orders: array<u32, TOKENS_PER_WORKGROUP * GROUPS>;

fn choice_order(row: u32, expert: u32, top: u32, sum: f32) -> u32 {
  let order = load_order(row, expert);
  if (order == 0u) {
    return NEGATIVE_INFINITY_ORDER;
  }
  let choice_score = score(order);
  return to_order(bitcast<u32>(choice_score + correction_bias[expert]));
}

// The order of a group's rank: the sum of its two best choice scores, or its only one; or its best one.
fn group_order(first: u32) -> u32 {
  var best = 0u;
  var second = 0u;
  for (var at = first; at < first + GROUP_SIZE; at++) {
    let order = choice_orders[at];
    second = max(second, min(best, order));
    best = max(best, order);
  }
  if (GROUP_SIZE == 1u) {
    return best;
  }
  if (second <= NEGATIVE_INFINITY_ORDER) {
    return NEGATIVE_INFINITY_ORDER;
  }
  return to_order(bitcast<u32>(logit_of(best) + logit_of(second)));
}

// Sets the choice orders of the groups that do not stay to 0.
fn drop_groups(slot: u32, lane: u32) {
  workgroupBarrier();
  for (var group = lane; group < GROUPS; group += LANES) {
    group_orders[slot * GROUPS + group] = group_order(slot * EXPERTS + group * GROUP_SIZE);
  }
  workgroupBarrier();
  for (var group = lane; group < GROUPS; group += LANES) {
    let order = group_orders[slot * GROUPS + group];
    var better = 0u;
    for (var other = 0u; other < GROUPS; other++) {
      let other_order = group_orders[slot * GROUPS + other];
      better += select(0u, 1u, (other_order > order) | ((other_order == order) & (other < group)));
    }
    if (better >= TOP_K_GROUPS) {
      let first = slot * EXPERTS + group * GROUP_SIZE;
      for (var at = first; at < first + GROUP_SIZE; at++) {
        choice_orders[at] = 0u;
      }
    }
  }
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
) {
  let position = local;
  let lane = position % LANES;
  let token = (workgroup.y * workgroups.x + workgroup.x) * TOKENS_PER_WORKGROUP + position / LANES;
  // Every invocation stays to the end, for barriers and shuffles: those past the last token repeat it, unwritten.
  let is_token = token < call.tokens;
  let row = call.logits_start + min(token, call.tokens - 1u) * call.row_stride;

  // The choice scores of the row, in workgroup memory.
  let slot = position / LANES;
  var lane_top = 0u;
  for (var expert = lane; expert < EXPERTS; expert += LANES) {
    lane_top = max(lane_top, load_order(row, expert));
  }
  let row_top = lanes_max(lane_top, position);
  let row_sum = 1.0;
  for (var expert = lane; expert < EXPERTS; expert += LANES) {
    choice_orders[slot * EXPERTS + expert] = choice_order(row, expert, row_top, row_sum);
  }
  drop_groups(slot, lane);
  workgroupBarrier();

  // The lane's best keys: w0, w1, ..., the best first.
  var c0 = vec2<u32>(choice_orders[slot * EXPERTS + 0u + lane], 0u);
  var c1 = vec2<u32>(choice_orders[slot * EXPERTS + 32u + lane], 32u);
  var c2 = vec2<u32>(choice_orders[slot * EXPERTS + 64u + lane], 64u);
  var c3 = vec2<u32>(choice_orders[slot * EXPERTS + 96u + lane], 96u);
  var c4 = vec2<u32>(choice_orders[slot * EXPERTS + 128u + lane], 128u);
  var c5 = vec2<u32>(choice_orders[slot * EXPERTS + 160u + lane], 160u);
  var c6 = vec2<u32>(choice_orders[slot * EXPERTS + 192u + lane], 192u);
  var c7 = vec2<u32>(choice_orders[slot * EXPERTS + 224u + lane], 224u);
  sort_pair(&c0, &c4);
  sort_pair(&c1, &c5);
  sort_pair(&c2, &c6);
  sort_pair(&c3, &c7);
  sort_pair(&c0, &c2);
  sort_pair(&c1, &c3);
  sort_pair(&c4, &c6);
  sort_pair(&c5, &c7);
  sort_pair(&c2, &c4);
  sort_pair(&c3, &c5);
  sort_pair(&c0, &c1);
  sort_pair(&c2, &c3);
  sort_pair(&c4, &c5);
  sort_pair(&c6, &c7);
  sort_pair(&c1, &c4);
  sort_pair(&c3, &c6);
  sort_pair(&c1, &c2);
  sort_pair(&c3, &c4);
  sort_pair(&c5, &c6);
  var w0 = c0 + vec2<u32>(0u, lane);
  var w1 = c1 + vec2<u32>(0u, lane);
  var w2 = c2 + vec2<u32>(0u, lane);
  var w3 = c3 + vec2<u32>(0u, lane);
  var w4 = c4 + vec2<u32>(0u, lane);
  var w5 = c5 + vec2<u32>(0u, lane);
  var w6 = c6 + vec2<u32>(0u, lane);
  var w7 = c7 + vec2<u32>(0u, lane);

  // The best keys of the token, in every lane: winner_0, winner_1, ..., or this lane's share of them.
  exchange[0u + position] = w0;
  exchange[64u + position] = w1;
  exchange[128u + position] = w2;
  exchange[192u + position] = w3;
  exchange[256u + position] = w4;
  exchange[320u + position] = w5;
  exchange[384u + position] = w6;
  exchange[448u + position] = w7;
  workgroupBarrier();
  var p1_0 = exchange[0u + (position ^ 1u)];
  var p1_1 = exchange[64u + (position ^ 1u)];
  var p1_2 = exchange[128u + (position ^ 1u)];
  var p1_3 = exchange[192u + (position ^ 1u)];
  var p1_4 = exchange[256u + (position ^ 1u)];
  var p1_5 = exchange[320u + (position ^ 1u)];
  var p1_6 = exchange[384u + (position ^ 1u)];
  var p1_7 = exchange[448u + (position ^ 1u)];
  workgroupBarrier();
  w0 = larger(w0, p1_7);
  w1 = larger(w1, p1_6);
  w2 = larger(w2, p1_5);
  w3 = larger(w3, p1_4);
  w4 = larger(w4, p1_3);
  w5 = larger(w5, p1_2);
  w6 = larger(w6, p1_1);
  w7 = larger(w7, p1_0);
  sort_pair(&w0, &w4);
  sort_pair(&w1, &w5);
  sort_pair(&w2, &w6);
  sort_pair(&w3, &w7);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w4, &w6);
  sort_pair(&w5, &w7);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  sort_pair(&w4, &w5);
  sort_pair(&w6, &w7);
  exchange[0u + position] = w0;
  exchange[64u + position] = w1;
  exchange[128u + position] = w2;
  exchange[192u + position] = w3;
  exchange[256u + position] = w4;
  exchange[320u + position] = w5;
  exchange[384u + position] = w6;
  exchange[448u + position] = w7;
  workgroupBarrier();
  var p2_0 = exchange[0u + (position ^ 2u)];
  var p2_1 = exchange[64u + (position ^ 2u)];
  var p2_2 = exchange[128u + (position ^ 2u)];
  var p2_3 = exchange[192u + (position ^ 2u)];
  var p2_4 = exchange[256u + (position ^ 2u)];
  var p2_5 = exchange[320u + (position ^ 2u)];
  var p2_6 = exchange[384u + (position ^ 2u)];
  var p2_7 = exchange[448u + (position ^ 2u)];
  workgroupBarrier();
  w0 = larger(w0, p2_7);
  w1 = larger(w1, p2_6);
  w2 = larger(w2, p2_5);
  w3 = larger(w3, p2_4);
  w4 = larger(w4, p2_3);
  w5 = larger(w5, p2_2);
  w6 = larger(w6, p2_1);
  w7 = larger(w7, p2_0);
  sort_pair(&w0, &w4);
  sort_pair(&w1, &w5);
  sort_pair(&w2, &w6);
  sort_pair(&w3, &w7);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w4, &w6);
  sort_pair(&w5, &w7);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  sort_pair(&w4, &w5);
  sort_pair(&w6, &w7);
  exchange[0u + position] = w0;
  exchange[64u + position] = w1;
  exchange[128u + position] = w2;
  exchange[192u + position] = w3;
  exchange[256u + position] = w4;
  exchange[320u + position] = w5;
  exchange[384u + position] = w6;
  exchange[448u + position] = w7;
  workgroupBarrier();
  var p4_0 = exchange[0u + (position ^ 4u)];
  var p4_1 = exchange[64u + (position ^ 4u)];
  var p4_2 = exchange[128u + (position ^ 4u)];
  var p4_3 = exchange[192u + (position ^ 4u)];
  var p4_4 = exchange[256u + (position ^ 4u)];
  var p4_5 = exchange[320u + (position ^ 4u)];
  var p4_6 = exchange[384u + (position ^ 4u)];
  var p4_7 = exchange[448u + (position ^ 4u)];
  workgroupBarrier();
  w0 = larger(w0, p4_7);
  w1 = larger(w1, p4_6);
  w2 = larger(w2, p4_5);
  w3 = larger(w3, p4_4);
  w4 = larger(w4, p4_3);
  w5 = larger(w5, p4_2);
  w6 = larger(w6, p4_1);
  w7 = larger(w7, p4_0);
  sort_pair(&w0, &w4);
  sort_pair(&w1, &w5);
  sort_pair(&w2, &w6);
  sort_pair(&w3, &w7);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w4, &w6);
  sort_pair(&w5, &w7);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  sort_pair(&w4, &w5);
  sort_pair(&w6, &w7);
  exchange[0u + position] = w0;
  exchange[64u + position] = w1;
  exchange[128u + position] = w2;
  exchange[192u + position] = w3;
  exchange[256u + position] = w4;
  exchange[320u + position] = w5;
  exchange[384u + position] = w6;
  exchange[448u + position] = w7;
  workgroupBarrier();
  var p8_0 = exchange[0u + (position ^ 8u)];
  var p8_1 = exchange[64u + (position ^ 8u)];
  var p8_2 = exchange[128u + (position ^ 8u)];
  var p8_3 = exchange[192u + (position ^ 8u)];
  var p8_4 = exchange[256u + (position ^ 8u)];
  var p8_5 = exchange[320u + (position ^ 8u)];
  var p8_6 = exchange[384u + (position ^ 8u)];
  var p8_7 = exchange[448u + (position ^ 8u)];
  workgroupBarrier();
  w0 = larger(w0, p8_7);
  w1 = larger(w1, p8_6);
  w2 = larger(w2, p8_5);
  w3 = larger(w3, p8_4);
  w4 = larger(w4, p8_3);
  w5 = larger(w5, p8_2);
  w6 = larger(w6, p8_1);
  w7 = larger(w7, p8_0);
  sort_pair(&w0, &w4);
  sort_pair(&w1, &w5);
  sort_pair(&w2, &w6);
  sort_pair(&w3, &w7);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w4, &w6);
  sort_pair(&w5, &w7);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  sort_pair(&w4, &w5);
  sort_pair(&w6, &w7);
  exchange[0u + position] = w0;
  exchange[64u + position] = w1;
  exchange[128u + position] = w2;
  exchange[192u + position] = w3;
  exchange[256u + position] = w4;
  exchange[320u + position] = w5;
  exchange[384u + position] = w6;
  exchange[448u + position] = w7;
  workgroupBarrier();
  var p16_0 = exchange[0u + (position ^ 16u)];
  var p16_1 = exchange[64u + (position ^ 16u)];
  var p16_2 = exchange[128u + (position ^ 16u)];
  var p16_3 = exchange[192u + (position ^ 16u)];
  var p16_4 = exchange[256u + (position ^ 16u)];
  var p16_5 = exchange[320u + (position ^ 16u)];
  var p16_6 = exchange[384u + (position ^ 16u)];
  var p16_7 = exchange[448u + (position ^ 16u)];
  w0 = larger(w0, p16_7);
  w1 = larger(w1, p16_6);
  w2 = larger(w2, p16_5);
  w3 = larger(w3, p16_4);
  w4 = larger(w4, p16_3);
  w5 = larger(w5, p16_2);
  w6 = larger(w6, p16_1);
  w7 = larger(w7, p16_0);
  sort_pair(&w0, &w4);
  sort_pair(&w1, &w5);
  sort_pair(&w2, &w6);
  sort_pair(&w3, &w7);
  sort_pair(&w0, &w2);
  sort_pair(&w1, &w3);
  sort_pair(&w4, &w6);
  sort_pair(&w5, &w7);
  sort_pair(&w0, &w1);
  sort_pair(&w2, &w3);
  sort_pair(&w4, &w5);
  sort_pair(&w6, &w7);
  let winner_0 = w0;
  let winner_1 = w1;
  let winner_2 = w2;
  let winner_3 = w3;
  let winner_4 = w4;
  let winner_5 = w5;
  let winner_6 = w6;
  let winner_7 = w7;

  // The winners' ids, and the orders of their logits; the best logit of the row, and its sum where that is needed.
  let id_0 = winner_0.y;
  let order_0 = load_order(row, id_0);
  let id_1 = winner_1.y;
  let order_1 = load_order(row, id_1);
  let id_2 = winner_2.y;
  let order_2 = load_order(row, id_2);
  let id_3 = winner_3.y;
  let order_3 = load_order(row, id_3);
  let id_4 = winner_4.y;
  let order_4 = load_order(row, id_4);
  let id_5 = winner_5.y;
  let order_5 = load_order(row, id_5);
  let id_6 = winner_6.y;
  let order_6 = load_order(row, id_6);
  let id_7 = winner_7.y;
  let order_7 = load_order(row, id_7);

  // Weights by a score of each logit alone: share_0, share_1, ..., each to be multiplied by `unit`. Winners of a row
  // without a logit above -Infinity share equally.
  let is_row_empty = row_top <= NEGATIVE_INFINITY_ORDER;
  var share_0 = select(score(order_0), 1.0, is_row_empty);
  var share_1 = select(score(order_1), 1.0, is_row_empty);
  var share_2 = select(score(order_2), 1.0, is_row_empty);
  var share_3 = select(score(order_3), 1.0, is_row_empty);
  var share_4 = select(score(order_4), 1.0, is_row_empty);
  var share_5 = select(score(order_5), 1.0, is_row_empty);
  var share_6 = select(score(order_6), 1.0, is_row_empty);
  var share_7 = select(score(order_7), 1.0, is_row_empty);
  var total = share_0;
  total += share_1;
  total += share_2;
  total += share_3;
  total += share_4;
  total += share_5;
  total += share_6;
  total += share_7;
  let unit = 2.5f / max(total, 1e-20);

  // The final ids and weights: id -1 and weight 0 for padding, and for experts outside of the range.
  var row_count = call.row_count;
  if (call.has_device_row_count != 0u) {
    row_count = min(row_count, device_row_count[call.device_row_count_start]);
  }
  var is_padding = token + call.first_token >= row_count;
  if (call.has_mask != 0u) {
    let byte = call.mask_start + token;
    is_padding = is_padding || ((padding_mask[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xFFu) != 0u;
  }
  let is_empty_0 = is_padding;
  let final_id_0 = select(id_0, 0xFFFFFFFFu, is_empty_0);
  let weight_0 = select(share_0 * unit, 0.0, is_empty_0);
  let is_empty_1 = is_padding;
  let final_id_1 = select(id_1, 0xFFFFFFFFu, is_empty_1);
  let weight_1 = select(share_1 * unit, 0.0, is_empty_1);
  let is_empty_2 = is_padding;
  let final_id_2 = select(id_2, 0xFFFFFFFFu, is_empty_2);
  let weight_2 = select(share_2 * unit, 0.0, is_empty_2);
  let is_empty_3 = is_padding;
  let final_id_3 = select(id_3, 0xFFFFFFFFu, is_empty_3);
  let weight_3 = select(share_3 * unit, 0.0, is_empty_3);
  let is_empty_4 = is_padding;
  let final_id_4 = select(id_4, 0xFFFFFFFFu, is_empty_4);
  let weight_4 = select(share_4 * unit, 0.0, is_empty_4);
  let is_empty_5 = is_padding;
  let final_id_5 = select(id_5, 0xFFFFFFFFu, is_empty_5);
  let weight_5 = select(share_5 * unit, 0.0, is_empty_5);
  let is_empty_6 = is_padding;
  let final_id_6 = select(id_6, 0xFFFFFFFFu, is_empty_6);
  let weight_6 = select(share_6 * unit, 0.0, is_empty_6);
  let is_empty_7 = is_padding;
  let final_id_7 = select(id_7, 0xFFFFFFFFu, is_empty_7);
  let weight_7 = select(share_7 * unit, 0.0, is_empty_7);

  if (!is_token) {
    return;
  }
  if (lane == 0u) {
    weights[call.weights_start + token * 2u + 0u] = vec4<f32>(weight_0, weight_1, weight_2, weight_3);
  }
  if (lane == 1u) {
    weights[call.weights_start + token * 2u + 1u] = vec4<f32>(weight_4, weight_5, weight_6, weight_7);
  }
  if (lane == 2u) {
    ids[call.ids_start + token * 4u + 0u] = vec4<u32>(final_id_0, u32(i32(final_id_0) >> 31u), final_id_1, u32(i32(final_id_1) >> 31u));
  }
  if (lane == 3u) {
    ids[call.ids_start + token * 4u + 1u] = vec4<u32>(final_id_2, u32(i32(final_id_2) >> 31u), final_id_3, u32(i32(final_id_3) >> 31u));
  }
  if (lane == 4u) {
    ids[call.ids_start + token * 4u + 2u] = vec4<u32>(final_id_4, u32(i32(final_id_4) >> 31u), final_id_5, u32(i32(final_id_5) >> 31u));
  }
  if (lane == 5u) {
    ids[call.ids_start + token * 4u + 3u] = vec4<u32>(final_id_6, u32(i32(final_id_6) >> 31u), final_id_7, u32(i32(final_id_7) >> 31u));
  }
}

// What weights and choice scores are made of: each scoring's function of a logit, by the rules of the contract.

// e^x within 2 ulp for x <= 0 (exp promises 3 + 2 |x|): choice scores are compared, so their errors must stay small.
// x = n ln 2 + r, |r| <= ln 2 / 2, by Cody and Waite's split of ln 2; e^r by its Taylor series.
fn accurate_exp(x: f32) -> f32 {
  let clamped = max(x, -103.0);
  let n = round(clamped * 1.442695041);
  let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, clamped));
  var series = 1.0 / 5040.0;
  series = fma(series, r, 1.0 / 720.0);
  series = fma(series, r, 1.0 / 120.0);
  series = fma(series, r, 1.0 / 24.0);
  series = fma(series, r, 1.0 / 6.0);
  series = fma(series, r, 0.5);
  series = fma(series, r, 1.0);
  series = fma(series, r, 1.0);
  // Two factors, since 2^n itself may be too small for an f32.
  let half = i32(n) / 2;
  let rest = i32(n) - half;
  return series * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((rest + 127) << 23u);
}

fn score(order: u32) -> f32 {
  let x = logit_of(order);
  let e = accurate_exp(-abs(x));
  let of_finite = select(e, 1.0, x >= 0.0) / (1.0 + e);
  let of_number = select(of_finite, 1.0, order >= POSITIVE_INFINITY_ORDER);
  return select(of_number, 0.0, order <= NEGATIVE_INFINITY_ORDER);
}

