// Runs an AMD kernel on the CPU, for its results alone: each thread of a block is a coroutine, and an instruction that
// looks at other lanes publishes its operand, lets the others run up to the same point, and then reads. What is
// emulated are the instructions that the kernels name; their meaning is taken from AMD's instruction set manuals.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace lockstep {

constexpr std::size_t kStackBytes = 256 * 1024;
// Of both operands of a matrix instruction.
constexpr std::size_t kOperandBytes = 128;

struct Thread {
  // Where its stack was left; its memory is not initialised: most of it is never touched.
  void* top = nullptr;
  char* stack = new char[kStackBytes];
  uint64_t published[2] = {0, 0};
  alignas(64) unsigned char operands[2][kOperandBytes];
  int turn = 0;
  bool isDone = true;
  ~Thread() { delete[] stack; }
};

struct Threads {
  Thread* all = nullptr;
  unsigned count = 0;
  Thread& operator[](unsigned index) { return all[index]; }
  void make(unsigned wanted) {
    if (wanted == count) return;
    delete[] all;
    all = new Thread[wanted];
    count = wanted;
  }
  ~Threads() { delete[] all; }
};

inline Threads threads;
inline void* scheduler;
inline unsigned current = 0;
inline unsigned block = 0;
inline unsigned arrived = 0;
inline unsigned barriersPassed = 0;
inline void (*body)(const void*);
inline const void* bodyState;

// Goes on where another stack was left, and leaves this one in `from`. It keeps the registers that the System V ABI asks a
// callee to keep; the C library's swapcontext asks the kernel to keep signals as well, which takes ten times as long.
__attribute__((naked, noinline)) static void switch_stack(void** from, void* to) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
      "retq");
}
constexpr unsigned kSavedRegisters = 6;

inline void yield() { switch_stack(&threads[current].top, scheduler); }

inline void run_thread() {
  body(bodyState);
  threads[current].isDone = true;
  yield();
}

// A stack from which switch_stack returns into run_thread, aligned as for a call.
inline void* begin_stack(char* stack) {
  const uintptr_t end = reinterpret_cast<uintptr_t>(stack + kStackBytes) & ~uintptr_t{15};
  uint64_t* top = reinterpret_cast<uint64_t*>(end) - 2;
  top[0] = reinterpret_cast<uint64_t>(&run_thread);
  top[1] = 0;
  return top - kSavedRegisters;
}

// Publishes a value and waits until every lane of the wave has published its own; returns which of the two places the
// round's values are in.
inline int publish(uint64_t value) {
  Thread& self = threads[current];
  const int place = self.turn++ % 2;
  self.published[place] = value;
  yield();
  return place;
}

inline unsigned lane() { return current % EMULATED_WAVE_SIZE; }
inline uint64_t published_by_lane(int place, unsigned lane) {
  const unsigned thread = current / EMULATED_WAVE_SIZE * EMULATED_WAVE_SIZE + lane;
  if (thread >= threads.count) std::abort();
  return threads[thread].published[place];
}

inline int data_parallel_primitive(int value, int control) {
  const int place = publish(static_cast<uint32_t>(value));
  const unsigned self = lane();
  const unsigned row = self & ~15u;
  unsigned source = 0;
  if (control < 0x100) {
    source = (self & ~3u) | ((control >> (2 * (self & 3))) & 3);  // quad_perm
  } else if (control == 0x141) {
    source = (self & ~7u) | (7 - (self & 7));  // row_half_mirror
  } else if (control == 0x140) {
    source = row | (15 - (self & 15));  // row_mirror
  } else {
    std::abort();
  }
  return static_cast<int>(published_by_lane(place, source));
}

inline int swizzle(int value, int pattern) {
  const int place = publish(static_cast<uint32_t>(value));
  const unsigned inRow = lane() & 31;
  const unsigned source = ((inRow & (pattern & 31)) | ((pattern >> 5) & 31)) ^ ((pattern >> 10) & 31);
  return static_cast<int>(published_by_lane(place, (lane() & ~31u) | source));
}

inline int permute_other_row(int value, unsigned low, unsigned high) {
  const int place = publish(static_cast<uint32_t>(value));
  const unsigned inRow = lane() & 15;
  const unsigned select = inRow < 8 ? (low >> (4 * inRow)) & 15 : (high >> (4 * (inRow - 8))) & 15;
  return static_cast<int>(published_by_lane(place, ((lane() & ~15u) ^ 16u) | select));
}

inline int permute_backwards(int address, int value) {
  const int place = publish(static_cast<uint32_t>(value));
  return static_cast<int>(published_by_lane(place, static_cast<unsigned>(address) / 4 % EMULATED_WAVE_SIZE));
}

inline uint64_t ballot(bool predicate) {
  const int place = publish(predicate);
  uint64_t mask = 0;
  for (unsigned other = 0; other < EMULATED_WAVE_SIZE; other++) mask |= published_by_lane(place, other) << other;
  return mask;
}

inline void wave_barrier() { publish(0); }

inline void block_barrier() {
  const unsigned passed = barriersPassed;
  if (++arrived == threads.count) {
    arrived = 0;
    barriersPassed++;
  }
  do yield();
  while (barriersPassed == passed);
}

template <class Kernel> void launch(unsigned blocks, unsigned threadsPerBlock, const Kernel& kernel) {
  body = [](const void* state) { (*static_cast<const Kernel*>(state))(); };
  bodyState = &kernel;
  threads.make(threadsPerBlock);
  for (block = 0; block < blocks; block++) {
    arrived = 0;
    for (unsigned index = 0; index < threadsPerBlock; index++) {
      Thread& thread = threads[index];
      thread.isDone = false;
      thread.turn = 0;
      thread.top = begin_stack(thread.stack);
    }
    for (bool isBusy = true; isBusy;) {
      isBusy = false;
      for (current = 0; current < threadsPerBlock; current++) {
        if (threads[current].isDone) continue;
        switch_stack(&scheduler, threads[current].top);
        isBusy = true;
      }
    }
  }
}

// Which number of an operand a lane has: of 16 x K, the first operand's rows or the second's columns.
struct OperandPlace {
  unsigned lane;
  unsigned index;
};

// Where the operands and sums of each matrix instruction lie.
struct MfmaK16 {
  static constexpr bool kIsMirrored = false;
  static constexpr unsigned kColumns = 16;
  static OperandPlace operand(unsigned row, unsigned k) { return {row + 16 * (k / 4), k % 4}; }
  static unsigned sum_row(unsigned lane, unsigned r) { return 4 * (lane / 16) + r; }
};
struct MfmaK32 {
  static constexpr bool kIsMirrored = false;
  static constexpr unsigned kColumns = 32;
  static OperandPlace operand(unsigned row, unsigned k) { return {row + 16 * (k / 8), k % 8}; }
  static unsigned sum_row(unsigned lane, unsigned r) { return 4 * (lane / 16) + r; }
};
struct WmmaGfx11 {
  static constexpr bool kIsMirrored = true;
  static constexpr unsigned kColumns = 16;
  // The other half of the wave has the same, which multiply_matrices checks.
  static OperandPlace operand(unsigned row, unsigned k) { return {row, k}; }
  static unsigned sum_row(unsigned lane, unsigned r) { return 2 * r + lane / 16; }
};
struct WmmaGfx12 {
  static constexpr bool kIsMirrored = false;
  static constexpr unsigned kColumns = 16;
  static OperandPlace operand(unsigned row, unsigned k) { return {row + 16 * (k / 4 % 2), k % 4 + 4 * (k / 8)}; }
  static unsigned sum_row(unsigned lane, unsigned r) { return 8 * (lane / 16) + r; }
};

inline float bf16(uint16_t half) {
#if defined(__gfx90a__)
  if ((half & 0x7f80) == 0) half &= 0x8000;
#endif
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// As publish(), of both operands.
template <class Operand>
int publish_operands(const Operand& first, const Operand& second) {
  static_assert(2 * sizeof(Operand) <= kOperandBytes);
  Thread& self = threads[current];
  std::memcpy(self.operands[self.turn % 2], &first, sizeof(Operand));
  std::memcpy(self.operands[self.turn % 2] + sizeof(Operand), &second, sizeof(Operand));
  return publish(0);
}

template <class Operand>
const uint16_t* published_operand(int place, unsigned lane, int which) {
  const unsigned thread = current / EMULATED_WAVE_SIZE * EMULATED_WAVE_SIZE + lane;
  return reinterpret_cast<const uint16_t*>(threads[thread].operands[place] + which * sizeof(Operand));
}

// sums[r] of a lane: row Layout::sum_row(lane, r) of the first operand with column lane % 16 of the second, added up in
// the order of k.
template <class Layout, class Operand, class Sums>
Sums multiply_matrices(Operand first, Operand second, Sums sums) {
  const int place = publish_operands(first, second);
  if (Layout::kIsMirrored) {
    for (int which = 0; which < 2; which++) {
      const uint16_t* own = published_operand<Operand>(place, lane(), which);
      if (std::memcmp(own, published_operand<Operand>(place, lane() % 16, which), sizeof(Operand)) != 0) std::abort();
    }
  }
  for (unsigned r = 0; r < sizeof(Sums) / sizeof(float); r++) {
    float sum = sums[r];
    for (unsigned k = 0; k < Layout::kColumns; k++) {
      const OperandPlace row = Layout::operand(Layout::sum_row(lane(), r), k);
      const OperandPlace column = Layout::operand(lane() % 16, k);
      sum = std::fma(bf16(published_operand<Operand>(place, row.lane, 0)[row.index]),
                     bf16(published_operand<Operand>(place, column.lane, 1)[column.index]), sum);
    }
    sums[r] = sum;
  }
  return sums;
}

// mma.sync m16n8k16, as PTX has it.
inline void mma_sync(float* sums, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  struct Registers {
    uint32_t words[4];
  };
  const int place = publish_operands(Registers{{a0, a1, a2, a3}}, Registers{{b0, b1, 0, 0}});
  const auto number = [&](int which, unsigned lane, unsigned word, unsigned half) {
    return bf16(published_operand<Registers>(place, lane, which)[2 * word + half]);
  };
  for (unsigned r = 0; r < 4; r++) {
    const unsigned row = lane() / 4 + r / 2 * 8;
    const unsigned column = lane() % 4 * 2 + r % 2;
    for (unsigned k = 0; k < 16; k++) {
      const unsigned lanes = k % 8 / 2;
      sums[r] = std::fma(number(0, row % 8 * 4 + lanes, row / 8 + k / 8 * 2, k % 2),
                         number(1, column * 4 + lanes, k / 8, k % 2), sums[r]);
    }
  }
}

// ldmatrix x4, as PTX has it: lane i's word of block j is in the row that lane 8 * j + i / 4 points to.
inline void load_matrices(uint32_t* words, const void* row) {
  const int place = publish(reinterpret_cast<uint64_t>(row));
  for (unsigned block = 0; block < 4; block++) {
    const auto* source = reinterpret_cast<const uint32_t*>(published_by_lane(place, 8 * block + lane() / 4));
    words[block] = source[lane() % 4];
  }
}

}  // namespace lockstep

#define amdgpu_flat_work_group_size(least, most)
#define __device__
#define __global__
#define __shared__ static
#define __builtin_amdgcn_workgroup_id_x() lockstep::block
#define __builtin_amdgcn_workitem_id_x() lockstep::current
#define __builtin_amdgcn_update_dpp(old, value, control, rows, banks, bound) \
  lockstep::data_parallel_primitive(value, control)
#define __builtin_amdgcn_ds_swizzle(value, pattern) lockstep::swizzle(value, pattern)
#define __builtin_amdgcn_ds_bpermute(address, value) lockstep::permute_backwards(address, value)
#define __builtin_amdgcn_permlanex16(old, value, low, high, inactive, bound) \
  lockstep::permute_other_row(value, low, high)
#define __builtin_amdgcn_ballot_w64(predicate) lockstep::ballot(predicate)
#define __builtin_amdgcn_ballot_w32(predicate) lockstep::ballot(predicate)
#define __builtin_amdgcn_uicmp(left, right, comparison) lockstep::ballot((left) != (right))
#define __builtin_amdgcn_wave_barrier() lockstep::wave_barrier()
#define __builtin_amdgcn_fence(...)
#define __builtin_amdgcn_s_barrier() lockstep::block_barrier()
#define __builtin_amdgcn_rcpf(x) (1.0f / (x))
#define __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(first, second, sums, ...) \
  lockstep::multiply_matrices<lockstep::MfmaK16>(first, second, sums)
#define __builtin_amdgcn_mfma_f32_16x16x32_bf16(first, second, sums, ...) \
  lockstep::multiply_matrices<lockstep::MfmaK32>(first, second, sums)
#define __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(first, second, sums) \
  lockstep::multiply_matrices<lockstep::WmmaGfx11>(first, second, sums)
#define __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(first, second, sums) \
  lockstep::multiply_matrices<lockstep::WmmaGfx12>(first, second, sums)
#define __builtin_emulated_mma_sync lockstep::mma_sync
#define __builtin_emulated_ldmatrix lockstep::load_matrices
// Others go on; what they do may be waited for.
#define __builtin_emulated_yield() lockstep::yield()
