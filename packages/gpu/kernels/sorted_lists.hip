// Sorting networks over keys in registers, and the butterfly that merges the lists of the lanes of a token. Every index
// is a compile-time constant, so that the arrays stay in registers.

namespace ROUTER_NAMESPACE {

// Ends a list that is not full: no key comes after it.
constexpr i32 kNoKey32 = 0x7fffffff;
constexpr i64 kNoKey64 = 0x7fffffffffffffffLL;

template <class Key>
constexpr Key kNoKey = sizeof(Key) == 4 ? static_cast<Key>(kNoKey32) : static_cast<Key>(kNoKey64);

template <class Key>
ROUTER_INLINE void compare_exchange(Key& first, Key& second) {
  const Key low = smaller(first, second);
  const Key high = larger(first, second);
  first = low;
  second = high;
}

// Batcher's odd-even merge of the elements FIRST, FIRST + STRIDE, ... below FIRST + COUNT, whose halves are sorted.
template <int FIRST, int COUNT, int STRIDE, class Key>
ROUTER_INLINE void odd_even_merge(Key* keys) {
  if constexpr (STRIDE * 2 < COUNT) {
    odd_even_merge<FIRST, COUNT, STRIDE * 2>(keys);
    odd_even_merge<FIRST + STRIDE, COUNT, STRIDE * 2>(keys);
#pragma unroll
    for (int i = FIRST + STRIDE; i + STRIDE < FIRST + COUNT; i += STRIDE * 2) {
      compare_exchange(keys[i], keys[i + STRIDE]);
    }
  } else {
    compare_exchange(keys[FIRST], keys[FIRST + STRIDE]);
  }
}

// Sorts keys[FIRST .. FIRST + COUNT); COUNT is a power of two.
template <int FIRST, int COUNT, class Key>
ROUTER_INLINE void sort(Key* keys) {
  if constexpr (COUNT > 1) {
    sort<FIRST, COUNT / 2>(keys);
    sort<FIRST + COUNT / 2, COUNT / 2>(keys);
    odd_even_merge<FIRST, COUNT, 1>(keys);
  }
}

// Sorts a bitonic sequence of COUNT keys; COUNT is a power of two.
template <int COUNT, class Key>
ROUTER_INLINE void sort_bitonic(Key* keys) {
  if constexpr (COUNT > 1) {
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) compare_exchange(keys[i], keys[i + COUNT / 2]);
    sort_bitonic<COUNT / 2>(keys);
    sort_bitonic<COUNT / 2>(keys + COUNT / 2);
  }
}

// From two sorted lists of LENGTH keys to the best LENGTH of both, sorted.
template <int LENGTH, class Key>
ROUTER_INLINE void merge_best(Key* best, const Key* other) {
#pragma unroll
  for (int i = 0; i < LENGTH; i++) best[i] = smaller(best[i], other[LENGTH - 1 - i]);
  sort_bitonic<LENGTH>(best);
}

// The best LENGTH of COUNT keys, sorted; LENGTH is a power of two. Missing ones are kNoKey.
template <int LENGTH, int COUNT, class Key>
ROUTER_INLINE void select_best(const Key* keys, Key* best) {
  if constexpr (COUNT <= LENGTH) {
#pragma unroll
    for (int i = 0; i < LENGTH; i++) best[i] = i < COUNT ? keys[i] : kNoKey<Key>;
    sort<0, LENGTH>(best);
  } else {
    constexpr int kLeft = kNextPowerOfTwo<COUNT> / 2;
    Key right[LENGTH];
    select_best<LENGTH, kLeft>(keys, best);
    select_best<LENGTH, COUNT - kLeft>(keys + kLeft, right);
    merge_best<LENGTH>(best, right);
  }
}

// One sorted list of LENGTH keys in each lane becomes the best MOST of all lanes' lists, sorted, in every lane: log2 of
// LANES / STEP exchanges. `best` has room for MOST keys, and keys past LENGTH are not read.
template <int LANES, int LENGTH, int MOST, int STEP = 1, class Key>
ROUTER_INLINE void merge_across_lanes(Key* best) {
  if constexpr (STEP < LANES) {
    if constexpr (LENGTH < MOST) {
      Key other[LENGTH];
#pragma unroll
      for (int i = 0; i < LENGTH; i++) other[i] = from_other_half<STEP>(best[i]);
#pragma unroll
      for (int i = 0; i < LENGTH; i++) best[LENGTH + i] = other[LENGTH - 1 - i];
      sort_bitonic<LENGTH * 2>(best);
      merge_across_lanes<LANES, LENGTH * 2, MOST, STEP * 2>(best);
    } else {
      Key other[LENGTH];
#pragma unroll
      for (int i = 0; i < LENGTH; i++) other[i] = from_other_half<STEP>(best[i]);
      merge_best<LENGTH>(best, other);
      merge_across_lanes<LANES, LENGTH, MOST, STEP * 2>(best);
    }
  } else {
#pragma unroll
    for (int i = LENGTH; i < MOST; i++) best[i] = kNoKey<Key>;
  }
}

// The same for tokens that have a wave to themselves, where the hardware reduces over one: each of MOST rounds takes
// the best head of all lists, and the lane that had it moves its list up. Keys are distinct, so that only one lane does.
template <int LENGTH, int MOST, class Key>
ROUTER_INLINE void take_best_of_wave(const Key* sorted, Key* best) {
  Key list[LENGTH];
#pragma unroll
  for (int i = 0; i < LENGTH; i++) list[i] = sorted[i];
#pragma unroll
  for (int k = 0; k < MOST; k++) {
    best[k] = wave_min(list[0]);
    const bool isOurs = list[0] == best[k];
#pragma unroll
    for (int i = 0; i < LENGTH && i + k < MOST; i++) {
      list[i] = isOurs ? (i + 1 < LENGTH ? list[i + 1] : kNoKey<Key>) : list[i];
    }
  }
}

}  // namespace ROUTER_NAMESPACE
