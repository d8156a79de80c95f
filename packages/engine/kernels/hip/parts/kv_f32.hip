// Keys and values as they are: of a KV head in a block, f32 [position][head size]. They have no scales (kv_int16.hip).

namespace ROUTER_NAMESPACE {

using KvElement = float;

constexpr u32 kHeadBlockElements = kBlockPositions * kHeadDim;
static_assert(!kHasScales, "numbers as they are");

struct KvEight {
  float values[8];

  ENGINE_METHOD void load(const KvElement* head, u32 position, u32 element) {
    load_eight(head + place_of_elements(position) + element, values);
  }

  ENGINE_METHOD void load_beside(const KvEight&, const KvElement* head, u32 position, u32 element) {
    load(head, position, element);
  }

  ENGINE_METHOD void widen(float* elements) const {
#pragma unroll
    for (int i = 0; i < 8; i++) elements[i] = values[i];
  }
};

struct KvFour {
  float values[4];

  // Of the position that is `further` after another one of the block.
  ENGINE_METHOD void load(const KvElement* head, u32 position, u32 element, int further = 0) {
    load_four(head + place_of_elements(position) + element + further * kHeadDim, values);
  }

  ENGINE_METHOD void widen(float* elements) const {
#pragma unroll
    for (int i = 0; i < 4; i++) elements[i] = values[i];
  }
};

struct KvScale {
  ENGINE_METHOD void take(u32) {}

  ENGINE_METHOD void keep(KvElement* head, u32 position, u32 element, float value) const {
    head[place_of_elements(position) + element] = value;
  }

  ENGINE_METHOD void keep_eight(KvElement* head, u32 position, u32 element, const float* values) const {
    store_four(head + place_of_elements(position) + element, values);
    store_four(head + place_of_elements(position) + element + 4, values + 4);
  }

  ENGINE_METHOD void keep_itself(KvElement*, u32, u32) const {}
};

}  // namespace ROUTER_NAMESPACE
