/** kernels/parts/hand_over_logits.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const HAND_OVER_LOGITS_WGSL = {
  file: 'kernels/parts/hand_over_logits.wgsl',
  text: `// The gate projection of up to ROWS tokens in the dispatch that routes them: a workgroup an expert forms its logits, and the
// one that arrives last routes all rows.
//
// WGSL has no fence between the workgroups of a dispatch, and its atomics order nothing but themselves. So a logit is its own
// message: the complement of its bits, stored atomically where 0 says that there is none yet. The count of arrivals says only
// that every store was issued, each before its workgroup's barrier and arrival. What is not to be seen yet is on its way and
// asks nothing more of who sent it: the last workgroup asks again until it comes, and waits for nobody who has still to run.
// Its exchanges reach the memory that all workgroups share, whatever is cached, and leave 0 for the next dispatch; WebGPU
// orders dispatches that write one buffer, and makes buffers of zeros.

struct HandOver {
  arrived: atomic<u32>,
  // [ROWS, E]
  words: array<atomic<u32>>,
}

@group(0) @binding(11) var<storage, read_write> hand_over: HandOver;

var<workgroup> arrivals_before: u32;

// A logit's bits, taken from where they were handed over.
fn receive_logit(at: u32) -> u32 {
  var word = atomicExchange(&hand_over.words[at], 0u);
  while (word == 0u) {
    word = atomicExchange(&hand_over.words[at], 0u);
  }
  return ~word;
}

// Forms the logits of a workgroup's expert. Whether the workgroup is the last, which then finds all logits in \`logits\`.
fn form_logits(expert: u32, local: u32) -> bool {
  if (expert >= EXPERTS) {
    return false;
  }
  form_gate_sums(expert, 0u, local);
  if (local < gate_call.tokens) {
    atomicStore(&hand_over.words[local * EXPERTS + expert], ~gate_logit(expert, local));
  }
  storageBarrier();
  if (local == 0u) {
    arrivals_before = atomicAdd(&hand_over.arrived, 1u);
  }
  if (workgroupUniformLoad(&arrivals_before) != EXPERTS - 1u) {
    return false;
  }
  if (local == 0u) {
    atomicStore(&hand_over.arrived, 0u);
  }
  for (var load = local; load < gate_call.tokens * LOADS_PER_ROW; load += WORKGROUP_SIZE) {
#if VECTOR_LOADS
    let at = 4u * load;
    let row_part = vec4<u32>(
      receive_logit(at), receive_logit(at + 1u), receive_logit(at + 2u), receive_logit(at + 3u));
    logits[call.logits_start + load] = row_part;
#else
    logits[call.logits_start + load] = receive_logit(load);
#end VECTOR_LOADS
  }
  storageBarrier();
  return true;
}
`,
};
