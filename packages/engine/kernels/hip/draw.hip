// Chooses the token of each wanted row as the engine's sampler does, to the token (src/sampling/sampler.ts): the largest
// logit where the row's temperature is 0, else one drawn by weight from what min-p, top-k and top-p leave, each cutting
// what the one before left. The row's random number comes with the step. -1 where no logit is a number. The logits are those
// of a launch of head.hip, as adjust.hip and mask.hip have left them; their likeliest tokens `largest.hip` has found, and only
// rows that are drawn are written.
//
// KERNEL_BLOCKS blocks share a row that no top-k and no top-p cuts: each sums the weights of its ids, and the last of them to
// be done draws. Of others the first block does all.
//
//   found u64 [rows, KERNEL_BLOCKS]; arrivals u32 [rows], 0 before and after

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

// Keeps what top-k and top-p leave of a row, and draws from it.
ROUTER_INLINE u32 draw_of_kept(const LogitRow& row, const TokenWeights& weights, const TokenDraw& draw,
                               SearchMemory& memory) {
  KeptTokens kept = {0, 0xffffffffu};
  if (draw.topK != 0 && draw.topK < row.count) kept = keep_likeliest(row, weights, draw.topK, memory);
  if (draw.topP < 1.0) kept = keep_nucleus(row, weights, kept, draw.topP, memory);
  const auto weight = [&](u32 id, float logit) -> u64 {
    return kept.has(id, key_of_logit(logit)) ? weights.of(logit) : 0;
  };
  const u64 total = row.total(weight, memory);
  const u64 drawn = static_cast<u64>(rounded_product(draw.random, static_cast<double>(total)));
  return row.locate(weight, smaller(drawn, total - 1), memory);
}

// The ids of a row that a block has: as many in each, the last may have fewer or none. Four divides the first.
struct RowPart {
  u32 begin;
  LogitRow ids;
};
ROUTER_INLINE RowPart part_of_row(const LogitRow& row, u32 part) {
  const u32 span = (row.count + KERNEL_BLOCKS * 4 - 1) / (KERNEL_BLOCKS * 4) * 4;
  const u32 begin = smaller(part * span, row.count);
  return {begin, {row.logits + begin, smaller(span, row.count - begin)}};
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    draw_tokens(const u8* step, const float* logits, u64* found, u32* arrivals, i32* tokens, u32 candidates,
                u32 first) {
  __shared__ SearchMemory memory;
  __shared__ u64 totals[KERNEL_BLOCKS];
  __shared__ bool isLast;
  const u32 row = block_index() / KERNEL_BLOCKS;
  const u32 part = block_index() % KERNEL_BLOCKS;
  const u32 thread = thread_index();
  const i32 wanted = static_cast<i32>(first + row);
  if (wanted >= step_word(step, STEP_WANTED)) return;
  const TokenDraw draw = token_draw(step, wanted);
  tokens = written_before(tokens);
  let_kernel_after_begin();
  // The last block writes what all have read here.
  const i32 likeliest = tokens[row];
  const LogitRow all = {logits + static_cast<u64>(row) * MODEL_VOCABULARY, candidates};
  const float largest = likeliest < 0 ? 0.0f : all.logits[likeliest];
  // Of a row without a finite largest logit that one is the only answer.
  if (draw.temperature == 0.0 || likeliest < 0 || largest == kInfinity || largest == -kInfinity) return;
  const double top = largest;
  const TokenWeights weights = {top, draw.temperature,
                                rounded_sum(top, rounded_product(kLowestExponent, draw.temperature)), draw.smallest};
  if (draw.topP < 1.0 || (draw.topK != 0 && draw.topK < candidates)) {
    if (part != 0) return;
    const u32 token = draw_of_kept(all, weights, draw, memory);
    if (thread == 0) tokens[row] = static_cast<i32>(token);
    return;
  }
  const auto weight = [&](u32, float logit) -> u64 { return weights.of(logit); };
  const u64 own = part_of_row(all, part).ids.total(weight, memory);
  u64* ofRow = found + row * KERNEL_BLOCKS;
  if (thread == 0) {
    ofRow[part] = own;
    publish_to_device();
    isLast = arrive(arrivals + row) == KERNEL_BLOCKS - 1;
  }
  block_barrier();
  if (!isLast) return;
  receive_from_device();
  if (thread < KERNEL_BLOCKS) totals[thread] = ofRow[thread];
  block_barrier();
  u64 total = 0;
#pragma unroll 1
  for (int other = 0; other < KERNEL_BLOCKS; other++) total += totals[other];
  const u64 drawn = static_cast<u64>(rounded_product(draw.random, static_cast<double>(total)));
  u64 target = smaller(drawn, total - 1);
  u32 hit = 0;
#pragma unroll 1
  while (hit < KERNEL_BLOCKS - 1 && target >= totals[hit]) target -= totals[hit++];
  const RowPart place = part_of_row(all, hit);
  place.ids.total(weight, memory);
  const u32 id = place.ids.locate(weight, target, memory);
  if (thread != 0) return;
  tokens[row] = static_cast<i32>(place.begin + id);
  arrivals[row] = 0;
}

}  // namespace ROUTER_NAMESPACE
