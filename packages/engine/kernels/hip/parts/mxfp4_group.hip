// Products of MXFP4 matrices with f32 vectors, a group of 16 rows at a time and by a whole block, so that a block has many
// loads under way however few rows it works on. How the sums are formed is in mxfp4_group_lanes.hip and
// mxfp4_group_tiles.hip, of which a kernel has one; the number of columns alone decides in which order, whatever the number
// of vectors. Both have
//
//   kVectorBytes<COLUMNS>                    bytes of a vector as it lies in shared memory
//   share_eight<COLUMNS>(vector, column, ..) puts eight values there
//   put_value<COLUMNS>(vector, column, ..)   puts one there, or where it is copied from
//   kReadsInPlace                            whether it is as well to multiply vectors where they were written
//   Mxfp4Group<COLUMNS, VECTORS>             load, vectors_of, multiply, sum_of
//
// Codes are u32 [rows, columns / 8], as arrange_codes.hip leaves them; scales are U8 [rows, columns / 32].

namespace ROUTER_NAMESPACE {

constexpr int kGroupRows = 16;
constexpr int kBlockColumns = 32;
constexpr int kBlockBytes = 16;
constexpr int kGroupTeams = 8;
static_assert(kTeams % kGroupTeams == 0, "eight teams share a group");

// Of those that share a group. Blocks of more teams work on several groups at once.
ROUTER_INLINE int team_of_group() { return team_of_block() % kGroupTeams; }

}  // namespace ROUTER_NAMESPACE
