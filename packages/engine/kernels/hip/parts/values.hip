// Several numbers at once: bf16 lies two to a word, the earlier one in the low half.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE float low_bf16(u32 pair) { return bits_to_float(pair << 16); }
ROUTER_INLINE float high_bf16(u32 pair) { return bits_to_float(pair & 0xffff0000u); }

// Rounds to the nearest bf16, to the even one of two; the number is finite.
ROUTER_INLINE u16 to_bf16(float value) {
  const u32 bits = float_to_bits(value);
  return static_cast<u16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

ROUTER_INLINE void widen_eight(Words4 words, float* values) {
  values[0] = low_bf16(words.x);
  values[1] = high_bf16(words.x);
  values[2] = low_bf16(words.y);
  values[3] = high_bf16(words.y);
  values[4] = low_bf16(words.z);
  values[5] = high_bf16(words.z);
  values[6] = low_bf16(words.w);
  values[7] = high_bf16(words.w);
}

// Four f32 at an address that 16 divides.
ROUTER_INLINE void load_four(const float* address, float* values) {
  const Words4 words = *reinterpret_cast<const Words4*>(address);
  values[0] = bits_to_float(words.x);
  values[1] = bits_to_float(words.y);
  values[2] = bits_to_float(words.z);
  values[3] = bits_to_float(words.w);
}

// The same of what a kernel before wrote, ahead of the wait for the last of them.
ROUTER_INLINE void load_written_four(const float* address, float* values) {
  const Words4 words = load_written_words4(address);
  values[0] = bits_to_float(words.x);
  values[1] = bits_to_float(words.y);
  values[2] = bits_to_float(words.z);
  values[3] = bits_to_float(words.w);
}

ROUTER_INLINE void load_eight(const float* address, float* values) {
  load_four(address, values);
  load_four(address + 4, values + 4);
}

ROUTER_INLINE void store_four(float* address, const float* values) {
  Words4 words;
  words.x = float_to_bits(values[0]);
  words.y = float_to_bits(values[1]);
  words.z = float_to_bits(values[2]);
  words.w = float_to_bits(values[3]);
  *reinterpret_cast<Words4*>(address) = words;
}

}  // namespace ROUTER_NAMESPACE
