// Chooses the token of each wanted row as the engine's sampler does, to the token (src/sampling/sampler.ts): the largest
// logit where the row's temperature is 0, else one drawn by weight from what min-p, top-k and top-p leave, each cutting
// what the one before left. The row's random number comes with the step. -1 where no logit is a number. A block a row; the
// logits are those of a launch of head.hip.

namespace ROUTER_NAMESPACE {

static_assert(MODEL_VOCABULARY < (1 << 18), "sums of weights are exact in f64");

// How a row's token is chosen, as the step block has it (step-block.ts).
struct TokenDraw {
  double temperature;
  double topP;
  double random;
  double smallest;
  u32 topK;
};

ROUTER_INLINE double step_double(const u8* step, i32 index) {
  const u64 low = static_cast<u32>(step_word(step, index));
  const u64 high = static_cast<u32>(step_word(step, index + 1));
  return bits_to_double(high << 32 | low);
}

ROUTER_INLINE TokenDraw token_draw(const u8* step, i32 wanted) {
  const i32 at = step_word(step, STEP_DRAWS) + wanted * STEP_DRAW_WORDS;
  return {step_double(step, at), step_double(step, at + 2), step_double(step, at + 4), step_double(step, at + 6),
          static_cast<u32>(step_word(step, at + 8))};
}

// Temperatures below the largest logit where the search for a tail begins: nearly always all that is kept is above one of
// them, and nothing below is looked at again.
constexpr int kCutoffs = 4;
ROUTER_INLINE double cutoff_of(const TokenWeights& weights, int index) {
  return rounded_sum(weights.largest, -rounded_product(index == 0 ? 1.0 : index == 1 ? 3.0 : index == 2 ? 6.0 : 12.0,
                                                       weights.temperature));
}

// What larger logits than each cutoff's have of some amount, and what all have.
struct CutAmounts {
  u64 above[kCutoffs];
  u64 total;

  // The lowest logit that has to be looked at to find unit `target` from the top.
  ENGINE_METHOD double lowest_of(const TokenWeights& weights, u64 target) const {
    double lowest = -static_cast<double>(kInfinity);
    for (int i = kCutoffs - 1; i >= 0; i--) {
      if (above[i] > target) lowest = cutoff_of(weights, i);
    }
    return lowest;
  }
};

template <class Amount>
ROUTER_INLINE CutAmounts cut_amounts(const LogitRow& row, const TokenWeights& weights, Amount amount,
                                     SearchMemory& memory) {
  u64 sums[kCutoffs + 1] = {0, 0, 0, 0, 0};
  row.each([&](u32 id, float logit) {
    const u64 units = amount(id, logit);
    sums[kCutoffs] += units;
#pragma unroll
    for (int i = 0; i < kCutoffs; i++) {
      if (static_cast<double>(logit) >= cutoff_of(weights, i)) sums[i] += units;
    }
  });
  CutAmounts amounts;
  for (int i = 0; i < kCutoffs; i++) amounts.above[i] = block_total(sums[i], memory);
  amounts.total = block_total(sums[kCutoffs], memory);
  return amounts;
}

// Keeps the `count` likeliest of the tokens that are kept already and have numbers, of equal ones the lower ids.
ROUTER_INLINE KeptTokens keep_likeliest(const LogitRow& row, const TokenWeights& weights, u32 count,
                                        SearchMemory& memory) {
  const auto is_number = [](u32, float logit) -> u64 { return logit == logit ? 1 : 0; };
  const CutAmounts amounts = cut_amounts(row, weights, is_number, memory);
  if (amounts.total <= count) return {0, 0xffffffffu};
  const double lowest = amounts.lowest_of(weights, count - 1);
  u64 before = 0;
  u64 own = 0;
  const u32 key = row.select(
      [&](u32, float logit) -> u64 { return static_cast<double>(logit) >= lowest ? 1 : 0; }, count - 1, memory, before,
      own);
  if (before + own == count) return {key, 0xffffffffu};
  const auto is_equal = [&](u32, float logit) -> u64 { return logit == logit && key_of_logit(logit) == key ? 1 : 0; };
  row.total(is_equal, memory);
  return {key, row.locate(is_equal, count - before - 1, memory)};
}

// Keeps the fewest likeliest of the kept tokens whose weights sum to at least `topP` times the sum of all of them.
ROUTER_INLINE KeptTokens keep_nucleus(const LogitRow& row, const TokenWeights& weights, KeptTokens kept, double topP,
                                      SearchMemory& memory) {
  const auto weight = [&](u32 id, float logit) -> u64 {
    return kept.has(id, key_of_logit(logit)) ? weights.of(logit) : 0;
  };
  const CutAmounts amounts = cut_amounts(row, weights, weight, memory);
  const double wanted = rounded_product(topP, static_cast<double>(amounts.total));
  u64 least = static_cast<u64>(wanted);
  if (static_cast<double>(least) < wanted || least == 0) least++;
  const double lowest = amounts.lowest_of(weights, least - 1);
  u64 before = 0;
  u64 own = 0;
  const u32 key = row.select(
      [&](u32 id, float logit) -> u64 { return static_cast<double>(logit) >= lowest ? weight(id, logit) : 0; },
      least - 1, memory, before, own);
  const u64 each = weights.of(logit_of_key(key));
  const u64 count = (least - before + each - 1) / each;
  if (count * each == own) return {key, key == kept.key ? kept.lastId : 0xffffffffu};
  const auto is_equal = [&](u32 id, float logit) -> u64 {
    return logit == logit && key_of_logit(logit) == key && kept.has(id, key) ? 1 : 0;
  };
  row.total(is_equal, memory);
  return {key, row.locate(is_equal, count - 1, memory)};
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    draw_tokens(const u8* step, const float* logits, i32* tokens, u32 candidates, u32 first) {
  __shared__ i64 best[kTeams];
  __shared__ SearchMemory memory;
  const u32 row = block_index();
  const i32 wanted = static_cast<i32>(first + row);
  if (wanted >= step_word(step, STEP_WANTED)) return;
  const TokenDraw draw = token_draw(step, wanted);
  const LogitRow all = {written_before(logits) + static_cast<u64>(row) * MODEL_VOCABULARY, candidates};
  let_kernel_after_begin();
  const i64 most = largest_logit(all.logits, 0, candidates, best);
  const i32 likeliest = id_of_choice(most);
  const float largest = likeliest < 0 ? 0.0f : all.logits[likeliest];
  // Of a row without a finite largest logit that one is the only answer.
  if (draw.temperature == 0.0 || likeliest < 0 || largest == kInfinity || largest == -kInfinity) {
    if (thread_index() == 0) tokens[row] = likeliest;
    return;
  }
  const double top = largest;
  const TokenWeights weights = {top, draw.temperature,
                                rounded_sum(top, rounded_product(kLowestExponent, draw.temperature)), draw.smallest};
  KeptTokens kept = {0, 0xffffffffu};
  if (draw.topK != 0 && draw.topK < candidates) kept = keep_likeliest(all, weights, draw.topK, memory);
  if (draw.topP < 1.0) kept = keep_nucleus(all, weights, kept, draw.topP, memory);
  const auto weight = [&](u32 id, float logit) -> u64 {
    return kept.has(id, key_of_logit(logit)) ? weights.of(logit) : 0;
  };
  const u64 total = all.total(weight, memory);
  const u64 drawn = static_cast<u64>(rounded_product(draw.random, static_cast<double>(total)));
  const u32 token = all.locate(weight, smaller(drawn, total - 1), memory);
  if (thread_index() == 0) tokens[row] = static_cast<i32>(token);
}

}  // namespace ROUTER_NAMESPACE
