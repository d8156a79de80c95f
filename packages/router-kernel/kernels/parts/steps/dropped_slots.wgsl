// The final ids and weights: id -1 and weight 0 for padding, and for experts outside of the range.
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
#end PADDING
#repeat k
#if SLOTS_CAN_BE_EMPTY
let is_empty_$k = {{IS_EMPTY}};
let final_id_$k = select(id_$k, 0xFFFFFFFFu, is_empty_$k);
let weight_$k = select({{WEIGHT}}, 0.0, is_empty_$k);
#else
let final_id_$k = id_$k;
let weight_$k = {{WEIGHT}};
#end SLOTS_CAN_BE_EMPTY
#end k
