// The KV cache in blocks of 16 positions. A block holds the keys and values of all layers of one kind (those that see
// everything, or those with a window): [layer of the kind][key, value][KV head], and of each of these the codes of all
// positions, u16 [position][head size], and behind them their scales, bf16 [position][kScales].
//
// An element is (code - 32768) * scale, exactly a number of f32. Elements share a scale by sixteens: eight neighbours of
// a head's first half, and the eight of its second that they turn with. The scale is the smallest bf16 for which the
// largest of them has a code, so that rounding changes none by more than 1/65000 of the largest. bf16 of the same size
// would keep 8 bits of each, and swap experts by that.

namespace ROUTER_NAMESPACE {

constexpr int kBlockPositions = 16;
constexpr int kHeadDim = MODEL_HEAD_DIM;
constexpr int kScaledPairs = 8;
constexpr int kScales = kHeadDim / 2 / kScaledPairs;
constexpr u32 kHeadCodes = kBlockPositions * kHeadDim;
// Codes and scales of a KV head's keys or values, in u16.
constexpr u32 kHeadBlockElements = kHeadCodes + kBlockPositions * kScales;
constexpr u64 kKvBlockElements = static_cast<u64>(KV_LAYERS) * 2 * MODEL_KV_HEADS * kHeadBlockElements;
static_assert(kHeadDim % (2 * kScaledPairs) == 0 && kHeadBlockElements % 8 == 0, "codes are read by 16 bytes");

using KvElement = u16;

constexpr int kKeys = 0;
constexpr int kValues = 1;

// The keys or values of a KV head in a block: their codes, and kHeadCodes behind them their scales.
ROUTER_INLINE u64 kv_head(i32 block, u32 layer, int part, int head) {
  const u64 headOfBlock = (static_cast<u64>(layer) * 2 + part) * MODEL_KV_HEADS + head;
  return static_cast<u64>(block) * kKvBlockElements + headOfBlock * kHeadBlockElements;
}

// Values lie behind the keys of all heads.
constexpr u32 kValuesBehindKeys = MODEL_KV_HEADS * kHeadBlockElements;

// Of a position, among what kv_head tells the place of.
ROUTER_INLINE u32 codes_of(int position) { return static_cast<u32>(position % kBlockPositions * kHeadDim); }
ROUTER_INLINE u32 scales_of(int position) {
  return kHeadCodes + static_cast<u32>(position % kBlockPositions * kScales);
}

// The scale, among a position's, of an element of a head.
ROUTER_INLINE int scale_of_element(int element) { return element % (kHeadDim / 2) / kScaledPairs; }

// A number of this size has the integers around it as its neighbours, and a code is the low half of its bits.
constexpr float kCodeNumber = 8388608.0f;
constexpr float kCodeMiddle = kCodeNumber + 32768.0f;
constexpr u32 kCodeBits = 0x4b000000u;

ROUTER_INLINE float low_code(u32 pair) { return bits_to_float((pair & 0xffffu) | kCodeBits); }
ROUTER_INLINE float high_code(u32 pair) { return bits_to_float((pair >> 16) | kCodeBits); }

// Eight codes as numbers, kCodeMiddle too large.
ROUTER_INLINE void widen_codes(Words4 codes, float* numbers) {
  numbers[0] = low_code(codes.x);
  numbers[1] = high_code(codes.x);
  numbers[2] = low_code(codes.y);
  numbers[3] = high_code(codes.y);
  numbers[4] = low_code(codes.z);
  numbers[5] = high_code(codes.z);
  numbers[6] = low_code(codes.w);
  numbers[7] = high_code(codes.w);
}

// What a code's number times its scale is too large by: exact, and so is their difference in one multiply_add.
ROUTER_INLINE float code_offset(float scale) { return rounded_product(scale, -kCodeMiddle); }

// Eight elements of one scale.
ROUTER_INLINE void scale_codes(Words4 codes, float scale, float* elements) {
  const float offset = code_offset(scale);
  widen_codes(codes, elements);
#pragma unroll
  for (int i = 0; i < 8; i++) elements[i] = multiply_add(elements[i], scale, offset);
}

// The scale of elements, from the bits of their largest magnitude. Elements that are no numbers leave none behind.
ROUTER_INLINE u16 kv_scale(u32 largest) {
  constexpr u32 kInfinityBits = 0x7f800000u;
  constexpr float kSmallest = 1e-30f;
  if (largest >= kInfinityBits) return 0x7fc0u;
  const float scale = larger(rounded_product(bits_to_float(largest), 1.0f / 32767.0f), kSmallest);
  return static_cast<u16>((float_to_bits(scale) + 0xffffu) >> 16);
}

ROUTER_INLINE u32 magnitude_bits(float value) { return float_to_bits(value) & 0x7fffffffu; }

// The code of an element, by the reciprocal of its scale.
ROUTER_INLINE u16 kv_code(float element, float reciprocal) {
  return static_cast<u16>(float_to_bits(multiply_add(element, reciprocal, kCodeMiddle)));
}
ROUTER_INLINE u32 kv_code_pair(float low, float high, float reciprocal) {
  return kv_code(low, reciprocal) | static_cast<u32>(kv_code(high, reciprocal)) << 16;
}
ROUTER_INLINE float reciprocal_of_scale(u16 scale) { return 1.0f / bits_to_float(static_cast<u32>(scale) << 16); }

// Where a row's table begins: layers of both kinds have one each.
ROUTER_INLINE i32 table_of_row(const u8* step, u32 isWindow, int row) {
  return step_word(step, (isWindow != 0 ? STEP_WINDOW_TABLES : STEP_FULL_TABLES) + row);
}

}  // namespace ROUTER_NAMESPACE
