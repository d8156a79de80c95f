// Rows in one or two terms of bf16, as products by matrix tiles read them: [rows, TERMS * COLUMNS]. The second term of a
// number is what the rounding of the first has left, so that both together have 16 bits of it.

namespace ROUTER_NAMESPACE {

// Columns `column` and `column` + 1 of a row; `column` is even.
template <int TERMS, int COLUMNS>
ROUTER_INLINE void store_terms(u32* row, int column, float low, float high) {
  const u32 first = bf16_pair(low, high);
  row[column / 2] = first;
  if constexpr (TERMS == 2) {
    row[(COLUMNS + column) / 2] =
        bf16_pair(rounded_sum(low, -low_bf16(first)), rounded_sum(high, -high_bf16(first)));
  }
}

}  // namespace ROUTER_NAMESPACE
