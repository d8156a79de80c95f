/** kernels/parts/steps/planned_slots.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const PLANNED_SLOTS_WGSL = {
  file: 'kernels/parts/steps/planned_slots.wgsl',
  text: `// The ids of the slots, for all invocations, and the dispatch plan of them.
if (is_token && lane == 0u) {
#repeat k
  planned_ids[token * TOP_K + $k] = final_id_$k;
#end k
}
workgroupBarrier();
plan_few(local);
`,
};
