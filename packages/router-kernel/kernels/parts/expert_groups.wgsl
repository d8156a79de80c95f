// Ranking by choice scores (score plus correction bias) instead of logits, and expert groups, the DeepSeek-V3 rule: only
// the experts of the topKGroups best groups are candidates; a group ranks by the sum of its two best choice scores (by its
// best one in DeepSeek-V2's), and of equal groups the lower goes first.

// The orders of the choice scores of the workgroup's tokens; 0 for an expert whose group does not stay.
var<workgroup> choice_orders: array<u32, TOKENS_PER_WORKGROUP * EXPERTS>;
#if GROUPS
const GROUP_SIZE = {{GROUP_SIZE}}u;
const GROUPS = EXPERTS / GROUP_SIZE;
const TOP_K_GROUPS = {{TOP_K_GROUPS}}u;
var<workgroup> group_orders: array<u32, TOKENS_PER_WORKGROUP * GROUPS>;
#end GROUPS

fn choice_order(row: u32, expert: u32, top: u32, sum: f32) -> u32 {
  let order = load_order(row, expert);
  if (order == 0u) {
    return NEGATIVE_INFINITY_ORDER;
  }
#if SOFTMAX
  let choice_score = select(share(order, top) / sum, 0.0, top <= NEGATIVE_INFINITY_ORDER);
#else
  let choice_score = score(order);
#end SOFTMAX
#if BIAS
  return to_order(bitcast<u32>(choice_score + {{CORRECTION_BIAS}}));
#else
  return to_order(bitcast<u32>(choice_score));
#end BIAS
}

#if GROUPS
// The order of a group's rank: the sum of its two best choice scores, or its only one; or its best one.
fn group_order(first: u32) -> u32 {
  var best = 0u;
  var second = 0u;
  for (var at = first; at < first + GROUP_SIZE; at++) {
    let order = choice_orders[at];
    second = max(second, min(best, order));
    best = max(best, order);
  }
  if ({{RANKS_BY_BEST}}) {
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
#end GROUPS
