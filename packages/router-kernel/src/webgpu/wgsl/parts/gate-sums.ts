/** kernels/parts/gate_sums.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const GATE_SUMS_WGSL = {
  file: 'kernels/parts/gate_sums.wgsl',
  text: `// The sums of the gate projection: logits of one expert, for ROWS tokens. Each of a workgroup's PARTIAL_SUMS invocations adds
// up pieces of 8 neighbouring columns, its own and then every 128th after it; their sums meet in pairs, and the bias comes
// last. So the number of columns alone decides in which order a logit is formed.

struct GateCall {
  tokens: u32,
  // Vectors of 16 bytes from one hidden state to the next, and before the first.
  row_vectors: u32,
  hidden_start: u32,
  logits_start: u32,
#if PLAN
  offsets_start: u32,
  sorted_start: u32,
  tiles_start: u32,
  tile_capacity: u32,
#end PLAN
}

@group(0) @binding(8) var<uniform> gate_call: GateCall;
@group(0) @binding(9) var<storage, read> hidden: array<vec4<u32>>;
// The weight, bf16 [E, H]; then f32 [E], filled up to whole vectors, of the gate's bias and of the router's correction bias.
@group(0) @binding(10) var<storage, read> gate_parameters: array<vec4<u32>>;

const PIECES = {{PIECES}}u;
const ROWS = {{ROWS}}u;
const PARTIAL_SUMS = {{PARTIAL_SUMS}}u;

var<workgroup> gate_sums: array<array<f32, ROWS>, PARTIAL_SUMS>;

// bf16 numbers lie two to a word, the first in the low half.
fn low_halves(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words << vec4<u32>(16u));
}

fn high_halves(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
}

// Number \`index\` of the f32 that begin at a vector of the parameters.
fn gate_parameter(start: u32, index: u32) -> f32 {
  return bitcast<f32>(gate_parameters[start + index / 4u][index % 4u]);
}

// Adds a piece's products to a sum, in the order of the columns.
fn add_piece(sum: f32, weights_of_piece: vec4<u32>, at: u32, piece: u32) -> f32 {
#if HIDDEN_F32
  let first = bitcast<vec4<f32>>(hidden[at + 2u * piece]);
  let second = bitcast<vec4<f32>>(hidden[at + 2u * piece + 1u]);
  let even = vec4<f32>(first.xz, second.xz);
  let odd = vec4<f32>(first.yw, second.yw);
#else
  let words = hidden[at + piece];
  let even = low_halves(words);
  let odd = high_halves(words);
#end HIDDEN_F32
  let even_weights = low_halves(weights_of_piece);
  let odd_weights = high_halves(weights_of_piece);
  var result = sum;
  for (var pair = 0u; pair < 4u; pair++) {
    result = fma(even[pair], even_weights[pair], result);
    result = fma(odd[pair], odd_weights[pair], result);
  }
  return result;
}

// Leaves the sums of an expert, for ROWS tokens from \`first_token\` on, where \`gate_logit\` finds them.
fn form_gate_sums(expert: u32, first_token: u32, local: u32) {
  var own: array<f32, ROWS>;
  for (var piece = local; piece < PIECES; piece += PARTIAL_SUMS) {
    let weights_of_piece = gate_parameters[expert * PIECES + piece];
    for (var row = 0u; row < ROWS; row++) {
      // Past the last token, its hidden state is read again and the sum dropped.
      let token = min(first_token + row, gate_call.tokens - 1u);
      own[row] = add_piece(own[row], weights_of_piece, gate_call.hidden_start + token * gate_call.row_vectors, piece);
    }
  }
  gate_sums[local] = own;
  workgroupBarrier();
  for (var step = 1u; step < PARTIAL_SUMS; step *= 2u) {
    if (local % (2u * step) == 0u) {
      for (var row = 0u; row < ROWS; row++) {
        gate_sums[local][row] += gate_sums[local + step][row];
      }
    }
    workgroupBarrier();
  }
}

// The bits of a logit. No logit has the bits 0xFFFFFFFF, which are left to say that there is none yet: a NaN that would have
// them is the one before.
fn gate_logit(expert: u32, row: u32) -> u32 {
  var logit = gate_sums[0][row];
#if GATE_BIAS
  logit += gate_parameter({{GATE_BIASES}}u, expert);
#end GATE_BIAS
  return min(bitcast<u32>(logit), 0xFFFFFFFEu);
}
`,
};
