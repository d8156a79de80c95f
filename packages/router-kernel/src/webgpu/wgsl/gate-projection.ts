/** kernels/gate_projection.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const GATE_PROJECTION_WGSL = {
  file: 'kernels/gate_projection.wgsl',
  text: `// The gate projection: router logits, f32 [T, E], of hidden states, bf16 or f32 [T, H], and the gate's weight,
// bf16 [E, H]. A workgroup forms the logits of one expert, for ROWS tokens. Each of its 128 invocations adds up pieces of
// 8 neighbouring columns, its own and then every 128th after it; their sums meet in pairs, and the bias comes last. So the
// number of columns alone decides in which order a logit is formed. A template, as is topk_gating_softmax.wgsl.

struct GateCall {
  tokens: u32,
  // Vectors of 16 bytes from one hidden state to the next, and before the first.
  row_vectors: u32,
  hidden_start: u32,
  logits_start: u32,
}

@group(0) @binding(0) var<uniform> call: GateCall;
@group(0) @binding(1) var<storage, read> hidden: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> gate_weight: array<vec4<u32>>;
#if GATE_BIAS
@group(0) @binding(3) var<storage, read> gate_bias: array<f32>;
#end GATE_BIAS
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

const EXPERTS = {{EXPERTS}}u;
const PIECES = {{PIECES}}u;
const ROWS = {{ROWS}}u;
const PARTIAL_SUMS = {{PARTIAL_SUMS}}u;

var<workgroup> sums: array<array<f32, ROWS>, PARTIAL_SUMS>;

// bf16 numbers lie two to a word, the first in the low half.
fn low_halves(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words << vec4<u32>(16u));
}

fn high_halves(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
}

// Adds a piece's products to a sum, in the order of the columns.
fn add_piece(sum: f32, weights: vec4<u32>, at: u32, piece: u32) -> f32 {
#if F32
  let first = bitcast<vec4<f32>>(hidden[at + 2u * piece]);
  let second = bitcast<vec4<f32>>(hidden[at + 2u * piece + 1u]);
  let even = vec4<f32>(first.xz, second.xz);
  let odd = vec4<f32>(first.yw, second.yw);
#else
  let words = hidden[at + piece];
  let even = low_halves(words);
  let odd = high_halves(words);
#end F32
  let even_weights = low_halves(weights);
  let odd_weights = high_halves(weights);
  var result = sum;
  for (var pair = 0u; pair < 4u; pair++) {
    result = fma(even[pair], even_weights[pair], result);
    result = fma(odd[pair], odd_weights[pair], result);
  }
  return result;
}

@compute @workgroup_size(PARTIAL_SUMS)
fn project_gate(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = workgroup.y * workgroups.x + workgroup.x;
  let expert = block % EXPERTS;
  let first_token = block / EXPERTS * ROWS;
  if (first_token >= call.tokens) {
    return;
  }
  var own: array<f32, ROWS>;
  for (var piece = local; piece < PIECES; piece += PARTIAL_SUMS) {
    let weights = gate_weight[expert * PIECES + piece];
    for (var row = 0u; row < ROWS; row++) {
      // Past the last token, its hidden state is read again and the sum dropped.
      let token = min(first_token + row, call.tokens - 1u);
      own[row] = add_piece(own[row], weights, call.hidden_start + token * call.row_vectors, piece);
    }
  }
  sums[local] = own;
  workgroupBarrier();
  for (var step = 1u; step < PARTIAL_SUMS; step *= 2u) {
    if (local % (2u * step) == 0u) {
      for (var row = 0u; row < ROWS; row++) {
        sums[local][row] += sums[local + step][row];
      }
    }
    workgroupBarrier();
  }
  if (local < ROWS && first_token + local < call.tokens) {
    var logit = sums[0][local];
#if GATE_BIAS
    logit += gate_bias[expert];
#end GATE_BIAS
    logits[call.logits_start + (first_token + local) * EXPERTS + expert] = logit;
  }
}
`,
};
