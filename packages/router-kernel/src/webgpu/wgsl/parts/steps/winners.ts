/** kernels/parts/steps/winners.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const WINNERS_WGSL = {
  file: 'kernels/parts/steps/winners.wgsl',
  text: `// The winners' ids, and the orders of their logits; the best logit of the row, and its sum where that is needed.
#repeat k
#if PACKED_KEYS
let id_$k = ~winner_$k & 0xFFFFu;
let order_$k = winner_$k & 0xFFFF0000u;
#else
let id_$k = winner_$k.y;
#if RANKS_BY_CHOICE
let order_$k = load_order(row, id_$k);
#else
let order_$k = winner_$k.x;
#end RANKS_BY_CHOICE
#end PACKED_KEYS
#end k
#if !RANKS_BY_CHOICE
let row_top = {{TOP_ORDER}};
#if ROW_SUM
let row_sum = lanes_sum(lane_share_sum(row, lane, row_top), position);
#end ROW_SUM
#end !RANKS_BY_CHOICE
`,
};
