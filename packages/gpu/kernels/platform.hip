// The two platforms behind one set of names: what is spelt differently on AMD and on NVIDIA is in this folder, and no
// kernel asks which of them it is compiled for. Nothing is included: clang (offline or through hipRTC), nvcc and
// NVRTC all bring what is used here as builtins. Each translation unit is specialised by macros named ROUTER_*; a
// namespace of its own lets several specialisations share a module.

#ifndef ROUTER_NAMESPACE
#define ROUTER_NAMESPACE router
#endif

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define ROUTER_NVIDIA 1
#define ROUTER_LAUNCH_BOUNDS(threads) __launch_bounds__(threads)
// The same of a kernel whose registers shall leave room for so many blocks on a multiprocessor; AMD's compilers are not told.
#define ROUTER_RESIDENT_LAUNCH_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
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
#define ROUTER_RESIDENT_LAUNCH_BOUNDS(threads, blocks) ROUTER_LAUNCH_BOUNDS(threads)
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

// Counts and masks in shared memory; the order in which threads change them does not matter.
#if ROUTER_NVIDIA
ROUTER_INLINE void add_to(u32* counter, u32 amount) { atomicAdd(counter, amount); }
ROUTER_INLINE void set_bits(u32* mask, u32 bits) { atomicOr(mask, bits); }
#else
ROUTER_INLINE void add_to(u32* counter, u32 amount) { __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); }
ROUTER_INLINE void set_bits(u32* mask, u32 bits) { __atomic_fetch_or(mask, bits, __ATOMIC_RELAXED); }
#endif

// Blocks that hand their results to the one that arrives last. Every thread of a block publishes what it wrote to device
// memory; after a barrier one of them arrives, which tells how many blocks had arrived before; and every thread of the
// last block reads only after it has received.
#if ROUTER_NVIDIA
ROUTER_INLINE void publish_to_device() { __threadfence(); }
ROUTER_INLINE void receive_from_device() { __threadfence(); }
ROUTER_INLINE u32 arrive(u32* arrivals) { return atomicAdd(arrivals, 1u); }
#else
ROUTER_INLINE void publish_to_device() { __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent"); }
ROUTER_INLINE void receive_from_device() { __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent"); }
ROUTER_INLINE u32 arrive(u32* arrivals) { return __atomic_fetch_add(arrivals, 1u, __ATOMIC_RELAXED); }
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

// ---- Arithmetic.

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

}  // namespace ROUTER_NAMESPACE
