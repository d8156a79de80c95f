/** kernels/topk_gating_softmax.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const TOPK_GATING_SOFTMAX_WGSL = `// Fused top-k gating softmax: logits [T, E] in, the K best experts of each token and their weights out.
//
// A template (src/webgpu/template.ts), which scores.wgsl continues: lines of #if, #else, #repeat and #end are resolved,
// and names in double braces filled in, when a pipeline is made. What remains is specialised to one E, K, dtype and set
// of options.
//
// LANES invocations share a token. Each turns its logits into keys that order as the contract ranks them, keeps its
// best K sorted, and meets its neighbours in log2(LANES) steps; a step merges two sorted lists of K by taking the
// larger of one and the other reversed, then restoring the order. All lanes of a token end with the same K winners.
// With many tokens the best chunks of a row are found first, and then their best logits (chunk-selection-code.ts).

#if SUBGROUPS
enable subgroups;

#end
#if CONTIGUOUS
// Rows follow each other without gaps, and every binding holds its array and nothing else: the constants below and the
// length of the outputs say all that there is to know of the call. Reading it first would delay the logits.
#else
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
#end
@group(0) @binding(1) var<storage, read> logits: array<{{LOGITS_ELEMENT}}>;
@group(0) @binding(2) var<storage, read_write> weights: array<{{WEIGHTS_ELEMENT}}>;
@group(0) @binding(3) var<storage, read_write> ids: array<{{IDS_ELEMENT}}>;
#if TOKEN_EXPERT_INDICES
@group(0) @binding(4) var<storage, read_write> token_expert_indices: array<{{INDICES_ELEMENT}}>;
#end
#if BIAS
@group(0) @binding(5) var<storage, read> correction_bias: array<f32>;
#end
#if PADDING
// u8 a token, four to a word.
@group(0) @binding(6) var<storage, read> padding_mask: array<u32>;
@group(0) @binding(7) var<storage, read> device_row_count: array<u32>;
#end

const EXPERTS = {{EXPERTS}}u;
const TOP_K = {{TOP_K}}u;
const LANES = {{LANES}}u;
const WORKGROUP_SIZE = {{WORKGROUP_SIZE}}u;
const TOKENS_PER_WORKGROUP = WORKGROUP_SIZE / LANES;
// Logits in one element of the logits array or, where those are packed scalars, in one load.
const LOGITS_PER_LOAD = {{LOGITS_PER_LOAD}}u;
const LOADS_PER_ROW = EXPERTS / LOGITS_PER_LOAD;
// Where -Infinity and +Infinity lie in the order of to_order. Below the one and above the other is only NaN, as 0.
const NEGATIVE_INFINITY_ORDER = {{NEGATIVE_INFINITY_ORDER}}u;
const POSITIVE_INFINITY_ORDER = {{POSITIVE_INFINITY_ORDER}}u;
const LARGEST_F32 = 0x1.fffffep+127f;

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
#end

#if EXCHANGE_THROUGH_MEMORY
var<workgroup> exchange: array<Key, {{EXCHANGE_SIZE}}>;
#end
#if CELLS_IN_MEMORY
var<workgroup> cells: array<u32, WORKGROUP_SIZE>;
#end

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

#end
fn logit_of(order: u32) -> f32 {
#if F16_ORDER
  return bitcast<f32>(widen_f16(from_order(order) >> 16u));
#else
  return bitcast<f32>(from_order(order));
#end
}

#if VECTORS
// One vector of a row. Past the row's end every bit is set: NaN in every format, with ids that lose every tie.
fn load_vector(row: u32, index: u32) -> vec4<u32> {
#if PARTIAL_ROWS
  return select(logits[row + min(index, LOADS_PER_ROW - 1u)], vec4<u32>(0xFFFFFFFFu), index >= LOADS_PER_ROW);
#else
  return logits[row + index];
#end
}

// to_unchecked_order for each logit of a vector.
fn to_unchecked_orders(words: vec4<u32>) -> vec4<u32> {
#if HALVES
  // Both floats of a word at once. No carry leaves a half.
  let signs = (words >> vec4<u32>(15u)) & vec4<u32>(0x00010001u);
  let flips = ((signs << vec4<u32>(16u)) - signs) | vec4<u32>(0x80008000u);
  return (words ^ flips) + signs;
#else
  return select(words ^ vec4<u32>(0x80000000u), vec4<u32>(0u) - words, words >= vec4<u32>(0x80000000u));
#end
}
#if UNCHECKED_KEYS

// One logit of a vector; a 16-bit one in the upper half.
fn bits_of(words: vec4<u32>, index: u32) -> u32 {
#if HALVES
  let word = words[index >> 1u];
  return select(word << 16u, word & 0xFFFF0000u, (index & 1u) == 1u);
#else
  return words[index];
#end
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
#end
#end
#if CHUNKS

// The unchecked order of the largest logit of a vector. Floats of one sign order like their bits as integers, negative
// ones backwards: it is the largest integer or, where all are negative, the least. A positive NaN passes for the
// largest; a negative one is taken only where there is nothing else. An upper half has the lower one's bits below it,
// which decide nothing between different floats, and are dropped in the end.
fn best_of_chunk(words: vec4<u32>) -> u32 {
  // Each pair of comparisons in a row is one instruction where a GPU compares three integers at once.
  let a = bitcast<vec4<i32>>(words);
#if HALVES
  let b = bitcast<vec4<i32>>(words << vec4<u32>(16u));
  let largest = max(max(max(max(max(max(max(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let smallest = min(min(min(min(min(min(min(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let of_negative = 0u - (bitcast<u32>(smallest) & 0xFFFF0000u);
  let of_positive = (bitcast<u32>(largest) & 0xFFFF0000u) ^ 0x80000000u;
#else
  let largest = max(max(max(a.x, a.y), a.z), a.w);
  let smallest = min(min(min(a.x, a.y), a.z), a.w);
  let of_negative = 0u - bitcast<u32>(smallest);
  let of_positive = bitcast<u32>(largest) ^ 0x80000000u;
#end
  return select(of_negative, of_positive, largest >= 0);
}
#end
#else
// One logit's bits, a 16-bit one in the upper half; every bit set past the row's end.
fn load_bits(row: u32, expert: u32) -> u32 {
#if PARTIAL_ROWS
  let at = row + min(expert, EXPERTS - 1u);
#else
  let at = row + expert;
#end
#if HALVES
  let word = logits[at >> 1u];
  let bits = select(word << 16u, word & 0xFFFF0000u, (at & 1u) == 1u);
#else
  let bits = logits[at];
#end
#if PARTIAL_ROWS
  return select(bits, 0xFFFFFFFFu, expert >= EXPERTS);
#else
  return bits;
#end
}

// The order of one logit, as to_order gives it, for the comparisons and logit_of of this shader.
fn load_order(row: u32, expert: u32) -> u32 {
#if WIDENED_F16
  return to_order(widen_f16(load_bits(row, expert) >> 16u));
#else
  return to_order(load_bits(row, expert));
#end
}
#end

#if PACKED_KEYS
// \`order\` is unchecked and in the upper half.
fn to_key(order: u32, tag: u32) -> Key {
  let is_number = order - NEGATIVE_INFINITY_ORDER <= POSITIVE_INFINITY_ORDER - NEGATIVE_INFINITY_ORDER;
  return select(tag, order | tag, is_number);
}

#end
#if CHOICE
// The largest of a token's lanes' values, in all of its lanes.
fn lanes_max(value: u32, position: u32) -> u32 {
#if SUBGROUPS
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
    result = max(result, subgroupShuffleXor(result, distance));
  }
  return result;
#else
  cells[position] = value;
  workgroupBarrier();
  var result = 0u;
  for (var lane = 0u; lane < LANES; lane++) {
    result = max(result, cells[position / LANES * LANES + lane]);
  }
  workgroupBarrier();
  return result;
#end
}

#end
#if CELLS
// The sum of a token's lanes' values, in all of its lanes, in the same order on every path.
fn lanes_sum(value: f32, position: u32) -> f32 {
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
#if SUBGROUPS
    result += subgroupShuffleXor(result, distance);
#else
    cells[position] = bitcast<u32>(result);
    workgroupBarrier();
    result += bitcast<f32>(cells[position ^ distance]);
    workgroupBarrier();
#end
  }
  return result;
}

#end
#if ROW_SUM
// The lane's part of the sum of a row's shares.
fn lane_share_sum(row: u32, lane: u32, top: u32) -> f32 {
  var sum = 0.0;
  for (var index = lane; index < LOADS_PER_ROW; index += LANES) {
#if VECTORS
    let words = load_vector(row, index);
    for (var i = 0u; i < 4u; i++) {
#if HALVES
      sum += share(to_order(words[i] << 16u), top);
      sum += share(to_order(words[i] & 0xFFFF0000u), top);
#else
      sum += share(to_order(words[i]), top);
#end
    }
#else
    sum += share(load_order(row, index), top);
#end
  }
  return sum;
}

#end
#if CHOICE
// The orders of the choice scores of the workgroup's tokens; 0 for an expert whose group does not stay.
var<workgroup> choice_orders: array<u32, TOKENS_PER_WORKGROUP * EXPERTS>;
#if GROUPS
const GROUP_SIZE = {{GROUP_SIZE}}u;
const GROUPS = EXPERTS / GROUP_SIZE;
const TOP_K_GROUPS = {{TOP_K_GROUPS}}u;
var<workgroup> group_orders: array<u32, TOKENS_PER_WORKGROUP * GROUPS>;
#end

fn choice_order(row: u32, expert: u32, top: u32, sum: f32) -> u32 {
  let order = load_order(row, expert);
  if (order == 0u) {
    return NEGATIVE_INFINITY_ORDER;
  }
#if SOFTMAX
  let choice_score = select(share(order, top) / sum, 0.0, top <= NEGATIVE_INFINITY_ORDER);
#else
  let choice_score = score(order);
#end
#if BIAS
  return to_order(bitcast<u32>(choice_score + correction_bias[expert]));
#else
  return to_order(bitcast<u32>(choice_score));
#end
}

#end
#if GROUPS
// The order of a group's rank: the sum of its two best choice scores, or its only one.
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

#end
@compute @workgroup_size(WORKGROUP_SIZE)
fn route(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
#if SUBGROUPS
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
#end
) {
#if SUBGROUPS
  // A subgroup holds neighbouring invocations, yet WGSL does not say in which order.
  let position = subgroupMin(local) + subgroup_lane;
#else
  let position = local;
#end
  let lane = position % LANES;
  let token = (workgroup.y * workgroups.x + workgroup.x) * TOKENS_PER_WORKGROUP + position / LANES;
#if CONTIGUOUS
  // Every invocation stays to the end, for barriers and shuffles: those past the last token read whatever WebGPU gives
  // them there, and write nothing.
  let tokens = arrayLength(&weights) / {{WEIGHT_STORES}}u;
  let is_token = token < tokens;
  let row = token * LOADS_PER_ROW;
#else
  // Every invocation stays to the end, for barriers and shuffles: those past the last token repeat it, unwritten.
  let is_token = token < call.tokens;
  let row = call.logits_start + min(token, call.tokens - 1u) * call.row_stride;
#end

#if CHOICE
  let slot = position / LANES;
  var lane_top = 0u;
  for (var expert = lane; expert < EXPERTS; expert += LANES) {
    lane_top = max(lane_top, load_order(row, expert));
  }
  let row_top = lanes_max(lane_top, position);
#if ROW_SUM
  let row_sum = lanes_sum(lane_share_sum(row, lane, row_top), position);
#else
  let row_sum = 1.0;
#end
  for (var expert = lane; expert < EXPERTS; expert += LANES) {
    choice_orders[slot * EXPERTS + expert] = choice_order(row, expert, row_top, row_sum);
  }
#if GROUPS
  drop_groups(slot, lane);
#end
  workgroupBarrier();

#end
{{SELECT_IN_LANE}}

{{MERGE_LANES}}

#repeat k
#if PACKED_KEYS
  let id_$k = ~winner_$k & 0xFFFFu;
  let order_$k = winner_$k & 0xFFFF0000u;
#else
  let id_$k = winner_$k.y;
#if CHOICE
  let order_$k = load_order(row, id_$k);
#else
  let order_$k = winner_$k.x;
#end
#end
#end
#if CHOICE
#else
  let row_top = {{TOP_ORDER}};
#if ROW_SUM
  let row_sum = lanes_sum(lane_share_sum(row, lane, row_top), position);
#end
#end

#if SOFTMAX
#if RENORMALIZE
#if CHOICE
  var top = order_0;
#repeat k
  top = max(top, order_$k);
#end
#else
  let top = row_top;
#end
#else
  let top = row_top;
#end
#if SORTED_SHARES
#repeat k
  var share_$k = {{EXP}}(logit_of(order_$k) - logit_of(top));
#end
  // The orders fall: all of them are of finite numbers where the first and the last are.
  if ((top >= POSITIVE_INFINITY_ORDER) | (order_{{LAST_SLOT}} <= NEGATIVE_INFINITY_ORDER)) {
#repeat k
    share_$k = share(order_$k, top);
#end
  }
#else
#repeat k
  let share_$k = share(order_$k, top);
#end
#end
#else
  let is_row_empty = row_top <= NEGATIVE_INFINITY_ORDER;
#if INFINITE_SCORES
  var infinite = 0u;
#repeat k
  infinite = max(infinite, order_$k);
#end
  let is_infinite = infinite >= POSITIVE_INFINITY_ORDER;
#end
#repeat k
  var share_$k = select(score(order_$k), 1.0, is_row_empty);
#if INFINITE_SCORES
  share_$k = select(share_$k, select(0.0, 1.0, order_$k >= POSITIVE_INFINITY_ORDER), is_infinite);
#end
#end
#end
#if RENORMALIZE
  var total = share_0;
#repeat k 1
  total += share_$k;
#end
#if SLOTS_BY_LANE
  total = lanes_sum(total, position);
#end
#if SOFTMAX
  let unit = {{SCALE}} / total;
#else
  let unit = {{SCALE}} / max(total, 1e-20);
#end
#else
#if SOFTMAX
  let unit = {{SCALE}} / select(row_sum, f32(TOP_K), top <= NEGATIVE_INFINITY_ORDER);
#else
  let unit = select({{SCALE}}, {{SCALE}} / f32(TOP_K), is_row_empty);
#end
#end

#if PADDING
  var row_count = call.row_count;
  if (call.has_device_row_count != 0u) {
    row_count = min(row_count, device_row_count[call.device_row_count_start]);
  }
  var is_padding = token + call.first_token >= row_count;
  if (call.has_mask != 0u) {
    let byte = call.mask_start + token;
    is_padding = is_padding || ((padding_mask[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xFFu) != 0u;
  }
#end
#repeat k
#if SLOTS_CAN_BE_EMPTY
  let is_empty_$k = {{IS_EMPTY}};
  let final_id_$k = select(id_$k, 0xFFFFFFFFu, is_empty_$k);
  let weight_$k = select({{WEIGHT}}, 0.0, is_empty_$k);
#else
  let final_id_$k = id_$k;
  let weight_$k = {{WEIGHT}};
#end
#end

  if (!is_token) {
    return;
  }
{{STORES}}
}
`;
