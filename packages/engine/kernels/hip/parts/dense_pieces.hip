// How rows of a bf16 matrix are cut for products of bf16 tiles, whatever the number of vectors: into pieces of 32 columns, of
// which a team has every eighth. Its sums are formed in the order of its pieces, and added in the order of the teams.

namespace ROUTER_NAMESPACE {

constexpr int kPieceOfColumns = 32;
constexpr int kDenseTeams = 8;
// Of a team with most pieces.
template <int COLUMNS>
constexpr int kPieceTurns = (COLUMNS / kPieceOfColumns + kDenseTeams - 1) / kDenseTeams;
ROUTER_INLINE int dense_piece(int team, int turn) { return turn * kDenseTeams + team; }
}  // namespace ROUTER_NAMESPACE
