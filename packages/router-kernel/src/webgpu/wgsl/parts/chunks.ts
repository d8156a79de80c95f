/** kernels/parts/chunks.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const CHUNKS_WGSL = {
  file: 'kernels/parts/chunks.wgsl',
  text: `// Two searches instead of one, for many tokens, where instructions are what counts. The first ranks chunks of
// neighbouring experts, one vector each, by their best logit; the second ranks the experts of the best chunks, which are
// read again. src/webgpu/kernel/chunks.ts writes both.

// The unchecked order of the largest logit of a vector. Floats of one sign order like their bits as integers, negative
// ones backwards: it is the largest integer or, where all are negative, the least. A positive NaN passes for the
// largest; a negative one is taken only where there is nothing else. An upper half has the lower one's bits below it,
// which decide nothing between different floats, and are dropped in the end.
fn best_of_chunk(words: vec4<u32>) -> u32 {
  // Each pair of comparisons in a row is one instruction where a GPU compares three integers at once.
  let a = bitcast<vec4<i32>>(words);
#if HALVES
  let b = bitcast<vec4<i32>>(words << vec4<u32>(16u));
  let largest = max(max(max(max(max(max(max(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let smallest = min(min(min(min(min(min(min(a.x, b.x), a.y), b.y), a.z), b.z), a.w), b.w);
  let of_negative = 0u - (bitcast<u32>(smallest) & 0xFFFF0000u);
  let of_positive = (bitcast<u32>(largest) & 0xFFFF0000u) ^ 0x80000000u;
#else
  let largest = max(max(max(a.x, a.y), a.z), a.w);
  let smallest = min(min(min(a.x, a.y), a.z), a.w);
  let of_negative = 0u - bitcast<u32>(smallest);
  let of_positive = bitcast<u32>(largest) ^ 0x80000000u;
#end HALVES
  return select(of_negative, of_positive, largest >= 0);
}
`,
};
