// Runs an AMD kernel on the CPU, for its results alone: each thread of a block is a coroutine, and an instruction that
// looks at other lanes publishes its operand, lets the others run up to the same point, and then reads. What is
// emulated are the instructions that the kernels name; their meaning is taken from AMD's instruction set manuals.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

namespace lockstep {

constexpr std::size_t kStackBytes = 256 * 1024;

struct Thread {
  ucontext_t context;
  // Not initialised: most of it is never touched.
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  uint64_t published[2] = {0, 0};
  int turn = 0;
  bool isDone = true;
};

inline std::vector<Thread> threads;
inline ucontext_t scheduler;
inline unsigned current = 0;
inline unsigned block = 0;
inline unsigned arrived = 0;
inline unsigned barriersPassed = 0;
inline std::function<void()> body;

inline void yield() { swapcontext(&threads[current].context, &scheduler); }

inline void run_thread() {
  body();
  threads[current].isDone = true;
  yield();
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
  if (thread >= threads.size()) std::abort();
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

inline uint64_t ballot(bool predicate) {
  const int place = publish(predicate);
  uint64_t mask = 0;
  for (unsigned other = 0; other < EMULATED_WAVE_SIZE; other++) mask |= published_by_lane(place, other) << other;
  return mask;
}

inline void wave_barrier() { publish(0); }

inline void block_barrier() {
  const unsigned passed = barriersPassed;
  if (++arrived == threads.size()) {
    arrived = 0;
    barriersPassed++;
  }
  do yield();
  while (barriersPassed == passed);
}

inline void launch(unsigned blocks, unsigned threadsPerBlock, std::function<void()> kernel) {
  body = std::move(kernel);
  threads.resize(threadsPerBlock);
  for (block = 0; block < blocks; block++) {
    arrived = 0;
    for (Thread& thread : threads) {
      thread.isDone = false;
      thread.turn = 0;
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.get();
      thread.context.uc_stack.ss_size = kStackBytes;
      thread.context.uc_link = nullptr;
      makecontext(&thread.context, run_thread, 0);
    }
    for (bool isBusy = true; isBusy;) {
      isBusy = false;
      for (current = 0; current < threads.size(); current++) {
        if (threads[current].isDone) continue;
        swapcontext(&scheduler, &threads[current].context);
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
#define __builtin_amdgcn_permlanex16(old, value, low, high, inactive, bound) \
  lockstep::permute_other_row(value, low, high)
#define __builtin_amdgcn_ballot_w64(predicate) lockstep::ballot(predicate)
#define __builtin_amdgcn_ballot_w32(predicate) lockstep::ballot(predicate)
#define __builtin_amdgcn_uicmp(left, right, comparison) lockstep::ballot((left) != (right))
#define __builtin_amdgcn_wave_barrier() lockstep::wave_barrier()
#define __builtin_amdgcn_fence(...)
#define __builtin_amdgcn_s_barrier() lockstep::block_barrier()
#define __builtin_amdgcn_rcpf(x) (1.0f / (x))
