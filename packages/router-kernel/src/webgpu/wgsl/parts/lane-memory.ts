/** kernels/parts/lane_memory.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const LANE_MEMORY_WGSL = {
  file: 'kernels/parts/lane_memory.wgsl',
  text: `// Where there are no subgroups, lanes read each other's values in workgroup memory: keys in one array, words in another.

#if EXCHANGE_THROUGH_MEMORY
var<workgroup> exchange: array<Key, {{EXCHANGE_SIZE}}>;
#end EXCHANGE_THROUGH_MEMORY
#if LANE_SUMS_THROUGH_MEMORY
var<workgroup> cells: array<u32, WORKGROUP_SIZE>;
#end LANE_SUMS_THROUGH_MEMORY
`,
};
