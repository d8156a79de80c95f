/** kernels/parts/constants.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const CONSTANTS_WGSL = {
  file: 'kernels/parts/constants.wgsl',
  text: `// The configuration and the launch geometry, and the bounds of the numbers that are ranked.

const EXPERTS = {{EXPERTS}}u;
const TOP_K = {{TOP_K}}u;
const LANES = {{LANES}}u;
const WORKGROUP_SIZE = {{WORKGROUP_SIZE}}u;
const TOKENS_PER_WORKGROUP = WORKGROUP_SIZE / LANES;
// Logits in one element of the logits array or, where those are packed scalars, in one load.
const LOGITS_PER_LOAD = {{LOGITS_PER_LOAD}}u;
const LOADS_PER_ROW = EXPERTS / LOGITS_PER_LOAD;

// Where -Infinity and +Infinity lie in the order of to_order. Below the one and above the other is only NaN, as 0.
const NEGATIVE_INFINITY_ORDER = {{NEGATIVE_INFINITY_ORDER}}u;
const POSITIVE_INFINITY_ORDER = {{POSITIVE_INFINITY_ORDER}}u;
const LARGEST_F32 = 0x1.fffffep+127f;
`,
};
