// Teams of 32 lanes: half a wave on gfx9, a whole one elsewhere. A row's sums are split over the lanes of a team and
// never over more, so that they are added in one order on every GPU.

// Of a struct: ROUTER_INLINE without the linkage.
#define ENGINE_METHOD __device__ inline __attribute__((always_inline))

namespace ROUTER_NAMESPACE {

constexpr int kTeam = 32;
constexpr int kThreads = KERNEL_THREADS;
constexpr int kTeams = kThreads / kTeam;

ROUTER_INLINE int team_of_block() { return static_cast<int>(thread_index()) / kTeam; }
ROUTER_INLINE int lane_of_team() { return static_cast<int>(thread_index()) % kTeam; }

// Of all lanes of a team, every one of which takes part and gets the same bits.
ROUTER_INLINE float team_sum(float value) { return token_sum<kTeam>(value); }
ROUTER_INLINE float team_max(float value) { return token_max<kTeam>(value); }

// 1 / sqrt(squares / COUNT + epsilon): what a row of COUNT values is multiplied with in a root mean square norm.
template <int COUNT>
ROUTER_INLINE float norm_scale(float squares) {
  return reciprocal_approximate(sqrt_approximate(multiply_add(squares, 1.0f / COUNT, MODEL_NORM_EPSILON)));
}

}  // namespace ROUTER_NAMESPACE
