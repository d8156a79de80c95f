// The KV cache in blocks of 16 positions. A block holds the keys and values of all layers of one kind (those that see
// everything, or those with a window): [layer of the kind][key, value][KV head], and of each what kv_int16.hip or kv_f32.hip
// says.

namespace ROUTER_NAMESPACE {

constexpr u64 kKvBlockElements = static_cast<u64>(KV_LAYERS) * 2 * MODEL_KV_HEADS * kHeadBlockElements;

constexpr int kKeys = 0;
constexpr int kValues = 1;
// Values lie behind the keys of all heads.
constexpr u32 kValuesBehindKeys = MODEL_KV_HEADS * kHeadBlockElements;

// The keys or values of a KV head in a block.
ROUTER_INLINE u64 kv_head(i32 block, u32 layer, int part, int head) {
  const u64 headOfBlock = (static_cast<u64>(layer) * 2 + part) * MODEL_KV_HEADS + head;
  return static_cast<u64>(block) * kKvBlockElements + headOfBlock * kHeadBlockElements;
}

// Where a row's table begins: layers of both kinds have one each.
ROUTER_INLINE i32 table_of_row(const u8* step, u32 isWindow, int row) {
  return step_word(step, (isWindow != 0 ? STEP_WINDOW_TABLES : STEP_FULL_TABLES) + row);
}

}  // namespace ROUTER_NAMESPACE
