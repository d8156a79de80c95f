// Weights by a score of each logit alone: share_0, share_1, ..., each to be multiplied by `unit`. Winners of a row
// without a logit above -Infinity share equally.
let is_row_empty = row_top <= NEGATIVE_INFINITY_ORDER;
#if INFINITE_SCORES
var infinite = 0u;
#repeat k
infinite = max(infinite, order_$k);
#end k
let is_infinite = infinite >= POSITIVE_INFINITY_ORDER;
#end INFINITE_SCORES
#repeat k
var share_$k = select(score(order_$k), 1.0, is_row_empty);
#if INFINITE_SCORES
share_$k = select(share_$k, select(0.0, 1.0, order_$k >= POSITIVE_INFINITY_ORDER), is_infinite);
#end INFINITE_SCORES
#end k
#if RENORMALIZE
var total = share_0;
#repeat k 1
total += share_$k;
#end k
let unit = {{SCALE}} / max(total, 1e-20);
#else
let unit = select({{SCALE}}, {{SCALE}} / f32(TOP_K), is_row_empty);
#end RENORMALIZE
