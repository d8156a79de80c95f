// What one call binds.

#if SUBGROUPS
enable subgroups;

#end SUBGROUPS
#if CONTIGUOUS
// Rows follow each other without gaps, and every binding holds its array and nothing else: the constants and the
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
#end CONTIGUOUS
@group(0) @binding(1) var<storage, {{LOGITS_ACCESS}}> logits: array<{{LOGITS_ELEMENT}}>;
@group(0) @binding(2) var<storage, read_write> weights: array<{{WEIGHTS_ELEMENT}}>;
@group(0) @binding(3) var<storage, read_write> ids: array<{{IDS_ELEMENT}}>;
#if TOKEN_EXPERT_INDICES
@group(0) @binding(4) var<storage, read_write> token_expert_indices: array<{{INDICES_ELEMENT}}>;
#end TOKEN_EXPERT_INDICES
#if BIAS_BUFFER
@group(0) @binding(5) var<storage, read> correction_bias: array<f32>;
#end BIAS_BUFFER
#if PADDING
// u8 a token, four to a word.
@group(0) @binding(6) var<storage, read> padding_mask: array<u32>;
@group(0) @binding(7) var<storage, read> device_row_count: array<u32>;
#end PADDING
