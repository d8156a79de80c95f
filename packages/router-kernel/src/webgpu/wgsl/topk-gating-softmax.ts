/** kernels/topk_gating_softmax.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const TOPK_GATING_SOFTMAX_WGSL = {
  file: 'kernels/topk_gating_softmax.wgsl',
  text: `// The fused router: from a row of logits to the K best experts and their weights, in one pass over the row.
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
#if SUBGROUPS
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
#end SUBGROUPS
) {
#if GATED
  if (!form_logits(workgroup.y * workgroups.x + workgroup.x, local)) {
    return;
  }
#end GATED
#if SUBGROUPS
  // A subgroup holds neighbouring invocations, yet WGSL does not say in which order.
  let position = subgroupMin(local) + subgroup_lane;
#else
  let position = local;
#end SUBGROUPS
  let lane = position % LANES;
#if GATED
  let token = position / LANES;
#else
  let token = (workgroup.y * workgroups.x + workgroup.x) * TOKENS_PER_WORKGROUP + position / LANES;
#end GATED
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
#end CONTIGUOUS

  {{STEP_CHOICE_SCORES}}

  // The lane's best keys: w0, w1, ..., the best first.
  {{SELECT_IN_LANE}}

  // The best keys of the token, in every lane: winner_0, winner_1, ..., or this lane's share of them.
  {{MERGE_ACROSS_LANES}}

  {{STEP_WINNERS}}

  {{STEP_WEIGHTS}}

  {{STEP_DROPPED_SLOTS}}

  {{STEP_PLAN}}

  if (!is_token) {
    return;
  }
  {{STORES}}
}
`,
};
