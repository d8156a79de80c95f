// Runs an AMD kernel on the CPU, for its results alone: each thread of a block is a coroutine, and an instruction that
// looks at other lanes publishes its operand, lets the others run up to the same point, and then reads. What is
// emulated are the instructions that the kernels name; their meaning is taken from AMD's instruction set manuals.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace lockstep {

constexpr std::size_t kStackBytes = 256 * 1024;

struct Thread {
  // Where its stack was left; its memory is not initialised: most of it is never touched.
  void* top = nullptr;
  char* stack = new char[kStackBytes];
  uint64_t published[2] = {0, 0};
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
