// The choice scores of the row, in workgroup memory.
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
#end ROW_SUM
for (var expert = lane; expert < EXPERTS; expert += LANES) {
  choice_orders[slot * EXPERTS + expert] = choice_order(row, expert, row_top, row_sum);
}
#if GROUPS
drop_groups(slot, lane);
#end GROUPS
workgroupBarrier();
