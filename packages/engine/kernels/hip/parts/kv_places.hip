// How a position's keys and values are dealt: in blocks of 16 positions, and elements that share a scale where they have
// one (kv_int16.hip, kv_f32.hip).

namespace ROUTER_NAMESPACE {

// Whether elements are integers with scales.
constexpr bool kHasScales = KV_HAS_SCALES != 0;

constexpr int kBlockPositions = 16;
constexpr int kHeadDim = MODEL_HEAD_DIM;
// A scale is for so many neighbours of a head's first half, and those of its second that they turn with.
constexpr int kScaledPairs = 8;
constexpr int kScales = kHeadDim / 2 / kScaledPairs;
static_assert(kHeadDim % (2 * kScaledPairs) == 0, "a head has whole scales");

// Of a position, among a KV head's in a block.
ROUTER_INLINE u32 place_of_elements(u32 position) { return position % kBlockPositions * kHeadDim; }

// The scale, among a position's, of an element of a head.
ROUTER_INLINE u32 scale_of_element(u32 element) { return element % (kHeadDim / 2) / kScaledPairs; }

ROUTER_INLINE u32 magnitude_bits(float value) { return float_to_bits(value) & 0x7fffffffu; }

}  // namespace ROUTER_NAMESPACE
