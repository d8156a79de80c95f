// Weights by softmax: share_0, share_1, ..., each to be multiplied by `unit`.
#if TOP_OF_WINNERS
var top = order_0;
#repeat k
top = max(top, order_$k);
#end k
#else
let top = row_top;
#end TOP_OF_WINNERS
#if SORTED_SHARES
#repeat k
var share_$k = {{EXP}}(logit_of(order_$k) - logit_of(top));
#end k
// The orders fall: all of them are of finite numbers where the first and the last are.
if ((top >= POSITIVE_INFINITY_ORDER) | (order_{{LAST_SLOT}} <= NEGATIVE_INFINITY_ORDER)) {
#repeat k
  share_$k = share(order_$k, top);
#end k
}
#else
#repeat k
let share_$k = share(order_$k, top);
#end k
#end SORTED_SHARES
#if RENORMALIZE
var total = share_0;
#repeat k 1
total += share_$k;
#end k
#if SLOTS_BY_LANE
total = lanes_sum(total, position);
#end SLOTS_BY_LANE
let unit = {{SCALE}} / total;
#else
let unit = {{SCALE}} / select(row_sum, f32(TOP_K), top <= NEGATIVE_INFINITY_ORDER);
#end RENORMALIZE
