// The gate projection by itself, for more tokens than the routing kernel takes along with it: router logits, f32 [T, E], of
// hidden states, bf16 or f32 [T, H], and the gate's weight, bf16 [E, H]. A workgroup forms the logits of one expert, for ROWS
// tokens (parts/gate_sums.wgsl). A template, as is topk_gating_softmax.wgsl.

@group(0) @binding(1) var<storage, read_write> logits: array<u32>;

const EXPERTS = {{EXPERTS}}u;

@compute @workgroup_size(PARTIAL_SUMS)
fn project_gate(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = workgroup.y * workgroups.x + workgroup.x;
  let expert = block % EXPERTS;
  let first_token = block / EXPERTS * ROWS;
  if (first_token >= gate_call.tokens) {
    return;
  }
  form_gate_sums(expert, first_token, local);
  if (local < ROWS && first_token + local < gate_call.tokens) {
    logits[gate_call.logits_start + (first_token + local) * EXPERTS + expert] = gate_logit(expert, local);
  }
}
