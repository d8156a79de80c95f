/** kernels/parts/steps/careful_search.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const CAREFUL_SEARCH_WGSL = {
  file: 'kernels/parts/steps/careful_search.wgsl',
  text: `// A sorted list of unchecked keys that shows a NaN is made again from the same vectors, one logit after another. Lanes do
// this each for itself: nothing is exchanged.
if (shows_nan({{BEST}}, {{LEAST}})) {
  {{FORGET_LIST}}
  for (var load = 0u; load < {{LOADS}}u; load++) {
    let words = load_vector(row, {{VECTOR}});
#if RANKS_LOGITS
    for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
      var key = key_of(to_order(bits_of(words, i)), {{ID}} + i);
      {{INSERT_KEY}}
    }
#else
    var order = 0u;
    for (var i = 0u; i < LOGITS_PER_LOAD; i++) {
      order = max(order, to_order(bits_of(words, i)));
    }
    var key = key_of(order, {{ID}});
    {{INSERT_KEY}}
#end RANKS_LOGITS
  }
}
`,
};
