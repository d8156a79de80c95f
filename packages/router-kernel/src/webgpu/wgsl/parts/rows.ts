/** kernels/parts/rows.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const ROWS_WGSL = {
  file: 'kernels/parts/rows.wgsl',
  text: `// A row's logits, read as vectors of 16 bytes or one by one.

#if VECTOR_LOADS
// One vector of a row. Past the row's end every bit is set: NaN in every format, with ids that lose every tie.
fn load_vector(row: u32, index: u32) -> vec4<u32> {
#if PARTIAL_LOADS
  return select(logits[row + min(index, LOADS_PER_ROW - 1u)], vec4<u32>(0xFFFFFFFFu), index >= LOADS_PER_ROW);
#else
  return logits[row + index];
#end PARTIAL_LOADS
}

// to_unchecked_order for each logit of a vector.
fn to_unchecked_orders(words: vec4<u32>) -> vec4<u32> {
#if HALVES
  // Both floats of a word at once. No carry leaves a half.
  let signs = (words >> vec4<u32>(15u)) & vec4<u32>(0x00010001u);
  let flips = ((signs << vec4<u32>(16u)) - signs) | vec4<u32>(0x80008000u);
  return (words ^ flips) + signs;
#else
  return select(words ^ vec4<u32>(0x80000000u), vec4<u32>(0u) - words, words >= vec4<u32>(0x80000000u));
#end HALVES
}
#else
// One logit's bits, a 16-bit one in the upper half; every bit set past the row's end.
fn load_bits(row: u32, expert: u32) -> u32 {
#if PARTIAL_LOADS
  let at = row + min(expert, EXPERTS - 1u);
#else
  let at = row + expert;
#end PARTIAL_LOADS
#if HALVES
  let word = logits[at >> 1u];
  let bits = select(word << 16u, word & 0xFFFF0000u, (at & 1u) == 1u);
#else
  let bits = logits[at];
#end HALVES
#if PARTIAL_LOADS
  return select(bits, 0xFFFFFFFFu, expert >= EXPERTS);
#else
  return bits;
#end PARTIAL_LOADS
}
#end VECTOR_LOADS
`,
};
