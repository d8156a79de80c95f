// Keys and values as integers of 16 bits. Of a KV head's keys or values in a block, codes lie together, u16 [position][head
// size], and behind them their scales, bf16 [position][kScales].
//
// An element is (code - 32768) * scale, exactly a number of f32, up to 1e36. Elements share a scale by sixteens: eight neighbours of
// a head's first half, and the eight of its second that they turn with. The scale is the smallest bf16 for which the
// largest of them has a code, so that rounding changes none by more than 1/65000 of the largest. bf16 of the same size
// would keep 8 bits of each, and swap experts by that.

namespace ROUTER_NAMESPACE {

using KvElement = u16;

constexpr u32 kHeadCodes = kBlockPositions * kHeadDim;
constexpr u32 kHeadBlockElements = kHeadCodes + kBlockPositions * kScales;
static_assert(kHasScales && kHeadBlockElements % 8 == 0, "codes are read by 16 bytes");

ROUTER_INLINE u32 place_of_scales(u32 position) { return kHeadCodes + position % kBlockPositions * kScales; }

// A number of this size has the integers around it as its neighbours, and a code is the low half of its bits.
constexpr float kCodeMiddle = 8388608.0f + 32768.0f;
constexpr u32 kCodeBits = 0x4b000000u;

// Elements of a pair of codes, each of whose numbers is too large by kCodeMiddle. Products and their sum are exact, unless the
// scale, a bf16, is above 4e31.
ROUTER_INLINE void widen_codes(u32 pair, u32 scale, float* elements) {
  const float factor = low_bf16(scale);
  const float offset = rounded_product(factor, -kCodeMiddle);
  elements[0] = multiply_add(bits_to_float((pair & 0xffffu) | kCodeBits), factor, offset);
  elements[1] = multiply_add(bits_to_float((pair >> 16) | kCodeBits), factor, offset);
}

// A scale, of which several positions' lie as near as a cache keeps together: while the one being written is waited for, those
// before it are read.
ROUTER_INLINE u32 load_scale(const KvElement* head, u32 position, u32 element) {
  return load_written(head + place_of_scales(position) + scale_of_element(element));
}

// Eight neighbouring elements that share a scale, as they are loaded. `head` is a KV head's keys or values in a block.
struct KvEight {
  Words4 codes;
  u32 scale;

  ENGINE_METHOD void load(const KvElement* head, u32 position, u32 element) {
    codes = *reinterpret_cast<const Words4*>(head + place_of_elements(position) + element);
    scale = load_scale(head, position, element);
  }

  // With the scale of others that share it.
  ENGINE_METHOD void load_beside(const KvEight& others, const KvElement* head, u32 position, u32 element) {
    codes = *reinterpret_cast<const Words4*>(head + place_of_elements(position) + element);
    scale = others.scale;
  }

  ENGINE_METHOD void widen(float* elements) const {
    widen_codes(codes.x, scale, elements);
    widen_codes(codes.y, scale, elements + 2);
    widen_codes(codes.z, scale, elements + 4);
    widen_codes(codes.w, scale, elements + 6);
  }
};

// Four of them.
struct KvFour {
  u64 codes;
  u32 scale;

  // Of the position that is `further` after another one of the block.
  ENGINE_METHOD void load(const KvElement* head, u32 position, u32 element, int further = 0) {
    codes = *reinterpret_cast<const u64*>(head + place_of_elements(position) + element + further * kHeadDim);
    scale = load_written(head + place_of_scales(position) + scale_of_element(element) + further * kScales);
  }

  ENGINE_METHOD void widen(float* elements) const {
    widen_codes(static_cast<u32>(codes), scale, elements);
    widen_codes(static_cast<u32>(codes >> 32), scale, elements + 2);
  }
};

// The scale of elements that are to be kept.
struct KvScale {
  u16 bits;
  float reciprocal;

  // From the bits of their largest magnitude. Elements that are no numbers leave none behind.
  ENGINE_METHOD void take(u32 largest) {
    constexpr u32 kInfinityBits = 0x7f800000u;
    constexpr float kSmallest = 1e-30f;
    const float scale = larger(rounded_product(bits_to_float(largest), 1.0f / 32767.0f), kSmallest);
    bits = largest >= kInfinityBits ? 0x7fc0u : static_cast<u16>((float_to_bits(scale) + 0xffffu) >> 16);
    reciprocal = 1.0f / low_bf16(bits);
  }

  ENGINE_METHOD u16 code_of(float element) const {
    return static_cast<u16>(float_to_bits(multiply_add(element, reciprocal, kCodeMiddle)));
  }

  ENGINE_METHOD void keep(KvElement* head, u32 position, u32 element, float value) const {
    head[place_of_elements(position) + element] = code_of(value);
  }

  ENGINE_METHOD void keep_eight(KvElement* head, u32 position, u32 element, const float* values) const {
    const auto pair_of = [&](const float* two) { return code_of(two[0]) | static_cast<u32>(code_of(two[1])) << 16; };
    Words4 codes;
    codes.x = pair_of(values);
    codes.y = pair_of(values + 2);
    codes.z = pair_of(values + 4);
    codes.w = pair_of(values + 6);
    *reinterpret_cast<Words4*>(head + place_of_elements(position) + element) = codes;
  }

  // Once for all elements that share it, one of which is `element`.
  ENGINE_METHOD void keep_itself(KvElement* head, u32 position, u32 element) const {
    head[place_of_scales(position) + scale_of_element(element)] = bits;
  }
};

}  // namespace ROUTER_NAMESPACE
