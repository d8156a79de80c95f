// The KV cache in blocks of 16 positions. A block holds the keys and values of all layers of one kind (those that see
// everything, or those with a window): [layer of the kind][key, value][KV head][position][head size], in f32 or bf16.

namespace ROUTER_NAMESPACE {

constexpr int kBlockPositions = 16;
constexpr int kHeadDim = MODEL_HEAD_DIM;
constexpr u64 kKvBlockElements = static_cast<u64>(KV_LAYERS) * 2 * MODEL_KV_HEADS * kBlockPositions * kHeadDim;

#if KV_ELEMENT_BYTES == 2
using KvElement = u16;
ROUTER_INLINE void load_kv_eight(const KvElement* address, float* values) {
  widen_eight(*reinterpret_cast<const Words4*>(address), values);
}
ROUTER_INLINE void load_kv_four(const KvElement* address, float* values) {
  const u64 words = *reinterpret_cast<const u64*>(address);
  const u32 low = static_cast<u32>(words);
  const u32 high = static_cast<u32>(words >> 32);
  values[0] = low_bf16(low);
  values[1] = high_bf16(low);
  values[2] = low_bf16(high);
  values[3] = high_bf16(high);
}
ROUTER_INLINE void store_kv(KvElement* address, float value) { *address = to_bf16(value); }
#else
using KvElement = float;
ROUTER_INLINE void load_kv_eight(const KvElement* address, float* values) { load_eight(address, values); }
ROUTER_INLINE void load_kv_four(const KvElement* address, float* values) { load_four(address, values); }
ROUTER_INLINE void store_kv(KvElement* address, float value) { *address = value; }
#endif

constexpr int kKeys = 0;
constexpr int kValues = 1;

// The row of a KV head at a position of a block.
ROUTER_INLINE u64 kv_row(i32 block, u32 layer, int part, int head, int position) {
  const u64 headOfBlock = (static_cast<u64>(layer) * 2 + part) * MODEL_KV_HEADS + head;
  const u64 row = headOfBlock * kBlockPositions + position % kBlockPositions;
  return static_cast<u64>(block) * kKvBlockElements + row * kHeadDim;
}

// Where a row's table begins: layers of both kinds have one each.
ROUTER_INLINE i32 table_of_row(const u8* step, u32 isWindow, int row) {
  return step_word(step, (isWindow != 0 ? STEP_WINDOW_TABLES : STEP_FULL_TABLES) + row);
}

}  // namespace ROUTER_NAMESPACE
