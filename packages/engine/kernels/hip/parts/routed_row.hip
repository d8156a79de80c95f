// The experts of one row and their weights, in the place of route_row.hip, where a kernel before has chosen them: for
// measuring what routing costs inside a step. Its words hold ids i32 [ROUTED_ROWS, K] and then weights f32 [ROUTED_ROWS, K].

namespace ROUTER_NAMESPACE {

struct RoutedRow {
  i32 experts[MODEL_TOP_K];
  float weights[MODEL_TOP_K];

  template <class Load>
  ENGINE_METHOD void route(int row, Load load) {
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) {
      experts[k] = static_cast<i32>(float_to_bits(load(row * MODEL_TOP_K + k)));
      weights[k] = load((ROUTED_ROWS + row) * MODEL_TOP_K + k);
    }
  }

  ENGINE_METHOD i32 expert(int k) const {
    i32 own = experts[0];
#pragma unroll
    for (int i = 1; i < MODEL_TOP_K; i++) {
      // A number of its own: of two places compilers would choose the place, which registers have none of.
      const i32 other = experts[i];
      own = k == i ? other : own;
    }
    return own;
  }
};

}  // namespace ROUTER_NAMESPACE
