/** kernels/parts/lane_exchange.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const LANE_EXCHANGE_WGSL = {
  file: 'kernels/parts/lane_exchange.wgsl',
  text: `// Values that all lanes of a token come to know.

#if RANKS_BY_CHOICE
// The largest of a token's lanes' values, in all of its lanes.
fn lanes_max(value: u32, position: u32) -> u32 {
#if SUBGROUPS
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
    result = max(result, subgroupShuffleXor(result, distance));
  }
  return result;
#else
  cells[position] = value;
  workgroupBarrier();
  var result = 0u;
  for (var lane = 0u; lane < LANES; lane++) {
    result = max(result, cells[position / LANES * LANES + lane]);
  }
  workgroupBarrier();
  return result;
#end SUBGROUPS
}

#end RANKS_BY_CHOICE
// The sum of a token's lanes' values, in all of its lanes, in the same order on every path.
fn lanes_sum(value: f32, position: u32) -> f32 {
  var result = value;
  for (var distance = 1u; distance < LANES; distance *= 2u) {
#if SUBGROUPS
    result += subgroupShuffleXor(result, distance);
#else
    cells[position] = bitcast<u32>(result);
    workgroupBarrier();
    result += bitcast<f32>(cells[position ^ distance]);
    workgroupBarrier();
#end SUBGROUPS
  }
  return result;
}
`,
};
