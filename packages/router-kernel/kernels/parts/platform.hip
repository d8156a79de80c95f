// The two platforms behind one set of names: whatever is spelt differently on AMD and on NVIDIA is in this file, and no
// other part asks which of them it is compiled for. Nothing is included: clang (offline or through hipRTC), nvcc and
// NVRTC all bring what is used here as builtins. Each translation unit is specialised by macros named ROUTER_*; a
// namespace of its own lets several specialisations share a module.

#ifndef ROUTER_NAMESPACE
#define ROUTER_NAMESPACE router
#endif

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define ROUTER_NVIDIA 1
#define ROUTER_LAUNCH_BOUNDS(threads) __launch_bounds__(threads)
#else
#define ROUTER_NVIDIA 0
#ifndef __device__
#define __device__ __attribute__((device))
#endif
#ifndef __global__
#define __global__ __attribute__((global))
#endif
#ifndef __shared__
#define __shared__ __attribute__((shared))
#endif
#define ROUTER_LAUNCH_BOUNDS(threads) __attribute__((amdgpu_flat_work_group_size(threads, threads)))
#endif

#define ROUTER_INLINE static __device__ inline __attribute__((always_inline))

namespace ROUTER_NAMESPACE {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;

// The one place that decides the wave size. The host's geometry must agree with it.
#if ROUTER_NVIDIA
constexpr int kWaveSize = 32;
#elif defined(__GFX9__)
constexpr int kWaveSize = 64;
#else
constexpr int kWaveSize = 32;
#endif

static_assert(kWaveSize == ROUTER_WAVE_SIZE, "the launch geometry is for another wave size");

template <class T>
ROUTER_INLINE T smaller(T a, T b) {
  return a < b ? a : b;
}
template <class T>
ROUTER_INLINE T larger(T a, T b) {
  return a < b ? b : a;
}

// NVRTC has neither __builtin_inff nor a constexpr of its own.
constexpr float kInfinity = __builtin_bit_cast(float, 0x7f800000u);

// The smallest power of two that is at least VALUE.
template <int VALUE>
constexpr int kNextPowerOfTwo = 2 * kNextPowerOfTwo<(VALUE + 1) / 2>;
template <>
constexpr int kNextPowerOfTwo<1> = 1;

// ---- Threads and memory.

#if ROUTER_NVIDIA
using Words2 = uint2;
using Words4 = uint4;
ROUTER_INLINE u32 block_index() { return blockIdx.x; }
ROUTER_INLINE u32 thread_index() { return threadIdx.x; }
ROUTER_INLINE float bits_to_float(u32 bits) { return __uint_as_float(bits); }
ROUTER_INLINE u32 float_to_bits(float value) { return __float_as_uint(value); }
#else
using Words2 = u32 __attribute__((ext_vector_type(2)));
using Words4 = u32 __attribute__((ext_vector_type(4)));
ROUTER_INLINE u32 block_index() { return __builtin_amdgcn_workgroup_id_x(); }
ROUTER_INLINE u32 thread_index() { return __builtin_amdgcn_workitem_id_x(); }
ROUTER_INLINE float bits_to_float(u32 bits) { return __builtin_bit_cast(float, bits); }
ROUTER_INLINE u32 float_to_bits(float value) { return __builtin_bit_cast(u32, value); }
#endif

// Every thread of the block arrives before one goes on, and finds in shared memory what the others wrote there. Device
// memory is not ordered: what one thread wrote to it, others of the block may not read. To order that as well, RDNA
// would drop its vector caches at every barrier.
#if ROUTER_NVIDIA
ROUTER_INLINE void block_barrier() { __syncthreads(); }
#elif __clang_major__ >= 20
ROUTER_INLINE void block_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}
#else
// The fence of ROCm before 7 knows of no kinds of memory, and orders all.
ROUTER_INLINE void block_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
#endif

// Counts in shared memory; the order in which threads add does not matter.
#if ROUTER_NVIDIA
ROUTER_INLINE void add_one(u32* counter) { atomicAdd(counter, 1u); }
#else
ROUTER_INLINE void add_one(u32* counter) { __atomic_fetch_add(counter, 1u, __ATOMIC_RELAXED); }
#endif

// Part of a row. On NVIDIA the cache brings the rest of its line along, which neighbouring lanes are about to ask for.
#if ROUTER_NVIDIA
ROUTER_INLINE Words4 load_words4(const u8* address) {
  Words4 words;
  asm volatile("ld.global.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(address));
  return words;
}
#else
ROUTER_INLINE Words4 load_words4(const u8* address) { return *reinterpret_cast<const Words4*>(address); }
#endif

// A launch may ask to begin while the kernel before it in the stream still runs (NVIDIA's programmatic dependent launch,
// from compute capability 9). Then nothing that another kernel wrote may be read, and nothing written, until the kernel
// before is done; an address may be computed meanwhile. The kernel after this one may begin when the blocks of this one
// end, or as soon as each has said so. Where a launch does not ask, and on AMD, which has nothing of the kind, kernels of
// a stream follow each other.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 900
ROUTER_INLINE const u8* once_kernel_before_is_done(const u8* address) {
  asm volatile("griddepcontrol.wait;" : "+l"(address) : : "memory");
  __builtin_assume(__isGlobal(address));
  return address;
}
ROUTER_INLINE void let_kernel_after_begin() { asm volatile("griddepcontrol.launch_dependents;" : : : "memory"); }
#else
ROUTER_INLINE const u8* once_kernel_before_is_done(const u8* address) { return address; }
ROUTER_INLINE void let_kernel_after_begin() {}
#endif

// ---- Lanes of a wave. Every lane of the wave takes part in each of these.

#if ROUTER_NVIDIA
// A bit for each lane.
using LaneMask = u32;
ROUTER_INLINE LaneMask ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
ROUTER_INLINE bool is_any_in_wave(bool predicate) { return __any_sync(0xffffffffu, predicate); }
ROUTER_INLINE u32 count_bits(LaneMask mask) { return __popc(mask); }
ROUTER_INLINE u32 lowest_bit(LaneMask mask) { return static_cast<u32>(__ffs(static_cast<i32>(mask)) - 1); }
// Orders a wave's own accesses to shared memory.
ROUTER_INLINE void wave_barrier() { __syncwarp(); }
#else
using LaneMask = u64;
ROUTER_INLINE LaneMask ballot(bool predicate) {
#if __has_builtin(__builtin_amdgcn_ballot_w64) && __has_builtin(__builtin_amdgcn_ballot_w32)
  if constexpr (kWaveSize == 64) return __builtin_amdgcn_ballot_w64(predicate);
  return __builtin_amdgcn_ballot_w32(predicate);
#else
  // ROCm 5 has the comparison that a ballot is made of; 33 is LLVM's "not equal".
  return __builtin_amdgcn_uicmp(static_cast<u32>(predicate), 0u, 33);
#endif
}
ROUTER_INLINE bool is_any_in_wave(bool predicate) { return ballot(predicate) != 0; }
ROUTER_INLINE u32 count_bits(LaneMask mask) { return __builtin_popcountll(mask); }
ROUTER_INLINE u32 lowest_bit(LaneMask mask) { return __builtin_ctzll(mask); }
// The hardware keeps them in order already; the compiler has to be told.
ROUTER_INLINE void wave_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
#endif

// A value of a lane in the other half of the aligned block of 2 * STEP lanes that this lane is in: of lane ^ STEP on
// NVIDIA, and on AMD for steps 1, 2 and 16; for steps 4 and 8 a mirror stands in for it there. That is enough for a
// butterfly, which reaches step S only when the S lanes of each aligned block of S hold equal values.
template <int STEP>
ROUTER_INLINE i32 from_other_half(i32 value) {
  static_assert(STEP == 1 || STEP == 2 || STEP == 4 || STEP == 8 || STEP == 16, "butterflies span at most 32 lanes");
#if ROUTER_NVIDIA
  return __shfl_xor_sync(0xffffffffu, value, STEP);
#else
  // DPP works inside rows of 16 lanes, in the instruction that uses the value: quad_perm [1,0,3,2] and [2,3,0,1],
  // row_half_mirror, row_mirror.
  if constexpr (STEP == 1) return __builtin_amdgcn_update_dpp(0, value, 0xB1, 0xf, 0xf, true);
  if constexpr (STEP == 2) return __builtin_amdgcn_update_dpp(0, value, 0x4E, 0xf, 0xf, true);
  if constexpr (STEP == 4) return __builtin_amdgcn_update_dpp(0, value, 0x141, 0xf, 0xf, true);
  if constexpr (STEP == 8) return __builtin_amdgcn_update_dpp(0, value, 0x140, 0xf, 0xf, true);
#if defined(__GFX9__)
  // Between rows: ds_swizzle with xor mask 16. It uses the LDS pipe, but no LDS memory.
  if constexpr (STEP == 16) return __builtin_amdgcn_ds_swizzle(value, 0x401F);
#else
  if constexpr (STEP == 16) return __builtin_amdgcn_permlanex16(value, value, 0x76543210, 0xfedcba98, true, false);
#endif
#endif
}

// Whether the hardware reduces integers over a whole wave in one instruction. There is no wave_min where it does not.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
constexpr bool kHasWaveReduction = true;
ROUTER_INLINE i32 wave_min(i32 value) { return __reduce_min_sync(0xffffffffu, value); }
ROUTER_INLINE u32 wave_min(u32 value) { return __reduce_min_sync(0xffffffffu, value); }
ROUTER_INLINE i64 wave_min(i64 value) {
  const i32 high = wave_min(static_cast<i32>(value >> 32));
  const u32 low = wave_min(static_cast<i32>(value >> 32) == high ? static_cast<u32>(value) : 0xffffffffu);
  return (static_cast<i64>(high) << 32) | low;
}
#else
constexpr bool kHasWaveReduction = false;
#endif

// ---- Numbers.

// The hardware's approximations: within 2 units in the last place, and numbers below 2^-126 may become 0.
#if ROUTER_NVIDIA
ROUTER_INLINE float exp2_approximate(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
ROUTER_INLINE float reciprocal_approximate(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
ROUTER_INLINE float sqrt_approximate(float x) {
  float result;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
ROUTER_INLINE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
ROUTER_INLINE float absolute(float x) { return fabsf(x); }
// The smaller or larger of two numbers; the other one where one is NaN.
ROUTER_INLINE float smaller_number(float a, float b) { return fminf(a, b); }
ROUTER_INLINE float larger_number(float a, float b) { return fmaxf(a, b); }
#else
ROUTER_INLINE float exp2_approximate(float x) {
#if __has_builtin(__builtin_amdgcn_exp2f)
  return __builtin_amdgcn_exp2f(x);
#else
  return __builtin_exp2f(x);
#endif
}
ROUTER_INLINE float reciprocal_approximate(float x) { return __builtin_amdgcn_rcpf(x); }
ROUTER_INLINE float sqrt_approximate(float x) {
#if __has_builtin(__builtin_amdgcn_sqrtf)
  return __builtin_amdgcn_sqrtf(x);
#else
  return __builtin_sqrtf(x);
#endif
}
ROUTER_INLINE float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ROUTER_INLINE float absolute(float x) { return __builtin_fabsf(x); }
ROUTER_INLINE float smaller_number(float a, float b) { return __builtin_fminf(a, b); }
ROUTER_INLINE float larger_number(float a, float b) { return __builtin_fmaxf(a, b); }
#endif

// A product and a sum that are rounded by themselves. Compilers fuse a multiplication with the addition after it where
// they like to, in some of a lane's slots and not in others: what is compared between slots may not be left to them.
#if ROUTER_NVIDIA
ROUTER_INLINE float rounded_product(float a, float b) { return __fmul_rn(a, b); }
ROUTER_INLINE float rounded_sum(float a, float b) { return __fadd_rn(a, b); }
#else
ROUTER_INLINE float rounded_product(float a, float b) {
#pragma clang fp contract(off)
  return a * b;
}
ROUTER_INLINE float rounded_sum(float a, float b) {
#pragma clang fp contract(off)
  return a + b;
}
#endif

// How numbers are stored. bf16 and f16 lie two to a word.
enum class Dtype { bf16 = 0, f16 = 1, f32 = 2 };

// The bits of +Inf in a 16-bit format.
template <Dtype DTYPE>
constexpr u32 kInfinity16 = DTYPE == Dtype::bf16 ? 0x7f80u : 0x7c00u;

// A 16-bit number as f32.
template <Dtype DTYPE>
ROUTER_INLINE float widen(u32 half) {
  if constexpr (DTYPE == Dtype::bf16) {
    return bits_to_float(half << 16);
  } else {
#if ROUTER_NVIDIA
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<u16>(half)));
    return value;
#else
    return static_cast<float>(__builtin_bit_cast(_Float16, static_cast<u16>(half)));
#endif
  }
}

// The order of a 16-bit number is a signed 16-bit integer that falls as the number rises. Zeros of both signs have one
// order, and all NaNs have one, greater than that of -Inf. Orders are worked out for the two numbers of a word at once:
//
//   orders_of_pair(pair)           of both numbers
//   orders_of_largest(words)       of the largest number in the low halves of some words, and in the high halves
//   number_of_order(word)          the number whose order is the high half of a word, as f32; -Inf for NaN
//
// Integers are the same whichever way they are found, but what they stand for differs from platform to platform.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800

// x * -1 + 0 negates, turns both zeros into +0 and every NaN into 0x7fff; flipping the magnitude of negative numbers
// makes the bits monotonic.
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  u32 negated;
  if constexpr (DTYPE == Dtype::bf16) {
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(negated) : "r"(pair), "r"(0xbf80bf80u), "r"(0u));
  } else {
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(negated) : "r"(pair), "r"(0xbc00bc00u), "r"(0u));
  }
  // A selector with its high bit set repeats the sign of that byte.
  u32 signs;
  asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(signs) : "r"(negated));
  return negated ^ (signs & 0x7fff7fffu);
}

template <Dtype DTYPE>
ROUTER_INLINE float number_of_order(i32 word) {
  const i32 clamped = smaller(word, static_cast<i32>(kInfinity16<DTYPE> << 16 | 0xffffu));
  const u32 negated = static_cast<u32>(clamped ^ ((clamped >> 31) & 0x7fffffff)) & 0xffff0000u;
  return DTYPE == Dtype::bf16 ? -bits_to_float(negated) : -widen<DTYPE>(negated >> 16);
}

// NaN loses to every number.
template <Dtype DTYPE>
ROUTER_INLINE u32 larger_of_pairs(u32 a, u32 b) {
  u32 result;
  if constexpr (DTYPE == Dtype::bf16) {
    asm("max.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  } else {
    asm("max.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  }
  return result;
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 largest_of_pairs(const u32* words) {
  if constexpr (COUNT == 1) {
    return words[0];
  } else {
    return larger_of_pairs<DTYPE>(largest_of_pairs<DTYPE, COUNT / 2>(words),
                                  largest_of_pairs<DTYPE, COUNT - COUNT / 2>(words + COUNT / 2));
  }
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 orders_of_largest(const u32* words) {
  return orders_of_pair<DTYPE>(largest_of_pairs<DTYPE, COUNT>(words));
}

#else

// Two's complement of -x, moved down so that NaNs of either sign wrap past -Inf at the top, and merged there.
template <Dtype DTYPE>
constexpr u32 kOrderShift = 0x8000u - kInfinity16<DTYPE>;

#if ROUTER_NVIDIA
template <Dtype DTYPE>
ROUTER_INLINE u32 order_of_half(u32 half) {
  const i32 magnitude = static_cast<i32>(half & 0x7fffu);
  const i32 isNan = magnitude > static_cast<i32>(kInfinity16<DTYPE>);
  const i32 order = (half & 0x8000u ? magnitude : -magnitude) - static_cast<i32>(kOrderShift<DTYPE>);
  return static_cast<u32>(isNan ? static_cast<i32>(kInfinity16<DTYPE> - kOrderShift<DTYPE>) + 1 : order) & 0xffffu;
}
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  return order_of_half<DTYPE>(pair & 0xffffu) | (order_of_half<DTYPE>(pair >> 16) << 16);
}
ROUTER_INLINE u32 smaller_of_orders(u32 a, u32 b) {
  // The high halves decide between whole words, and low halves are compared as high ones.
  const u32 high = static_cast<u32>(smaller(static_cast<i32>(a), static_cast<i32>(b)));
  const u32 low = static_cast<u32>(smaller(static_cast<i32>(a << 16), static_cast<i32>(b << 16)));
  return (high & 0xffff0000u) | (low >> 16);
}
#else
using Shorts2 = short __attribute__((ext_vector_type(2)));
using Halves2 = u16 __attribute__((ext_vector_type(2)));

// Packed 16-bit instructions on both numbers at once.
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  const Halves2 bits = __builtin_bit_cast(Halves2, pair);
  const Halves2 signs = __builtin_bit_cast(Halves2, __builtin_bit_cast(Shorts2, bits) >> (short)15);
  const Halves2 folded = bits ^ (signs & (u16)0x7fff);
  const Halves2 moved = (signs - (u16)kOrderShift<DTYPE>)-folded;
  const Shorts2 ofNan = (short)(kInfinity16<DTYPE> - kOrderShift<DTYPE> + 1);
  const Shorts2 signedOrders = __builtin_bit_cast(Shorts2, moved);
  return __builtin_bit_cast(u32, __builtin_elementwise_min(signedOrders, ofNan));
}
ROUTER_INLINE u32 smaller_of_orders(u32 a, u32 b) {
  const Shorts2 smaller = __builtin_elementwise_min(__builtin_bit_cast(Shorts2, a), __builtin_bit_cast(Shorts2, b));
  return __builtin_bit_cast(u32, smaller);
}
#endif

template <Dtype DTYPE>
ROUTER_INLINE float number_of_order(i32 word) {
  const i32 negated = smaller(static_cast<i32>(static_cast<short>((word >> 16) + static_cast<i32>(kOrderShift<DTYPE>))),
                              static_cast<i32>(kInfinity16<DTYPE>));
  return widen<DTYPE>(negated > 0 ? static_cast<u32>(negated) | 0x8000u : static_cast<u32>(-negated));
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 orders_of_largest(const u32* words) {
  u32 orders = orders_of_pair<DTYPE>(words[0]);
#pragma unroll
  for (int i = 1; i < COUNT; i++) orders = smaller_of_orders(orders, orders_of_pair<DTYPE>(words[i]));
  return orders;
}

#endif

}  // namespace ROUTER_NAMESPACE
