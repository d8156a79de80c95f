#include "pool.h"

/*
 * How long a thread looks for work, or for the end of a job, before it sleeps: less than a hundred microseconds, in ticks
 * of the processor's clock, since a pause takes 40 cycles on one processor and 140 on another. Longer than the router
 * takes between two calls: a thread that sleeps in a virtual machine takes as long to wake.
 */
#if defined(__x86_64__)
enum { LOOK_FOR_WORK = 200000, LOOK_FOR_END = 70000 };
static inline uint64_t ticks(void) { return __builtin_ia32_rdtsc(); }
static inline void pause_shortly(void) { __builtin_ia32_pause(); }
#else
/* Its clock ticks 24 to 1000 times a microsecond. */
enum { LOOK_FOR_WORK = 2000, LOOK_FOR_END = 700 };
static inline uint64_t ticks(void) {
  uint64_t now;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
  return now;
}
static inline void pause_shortly(void) { __asm__ volatile("yield"); }
#endif

/*
 * Small jobs are not shared for so many times as long as a thread had to sleep for the end of one: beside a program that takes
 * a processor for itself, an item that another thread has begun costs more than all that sharing brings.
 */
enum { LATE_TIMES = 32 };

/*
 * A range is where it ends (32 bits) and its next item (32), in one word: who takes an item learns at once whether there is
 * one, whatever has become of the job in between. Whose item is one may read the job: it is not over before this item is
 * done.
 */
static inline uint32_t next_of(uint64_t range) { return (uint32_t)range; }
static inline uint32_t end_of(uint64_t range) { return (uint32_t)(range >> 32); }
static inline int has_item(uint64_t range) { return next_of(range) < end_of(range); }
static inline int looks_like_work(const Worker *worker, int order) {
  return has_item(__atomic_load_n(&worker->range, order));
}

/* Does what is left of a thread's range, by whichever thread. Returns how many items. */
static uint32_t take_from(Pool *pool, Worker *owner, int thread) {
  uint32_t taken = 0;
  while (looks_like_work(owner, __ATOMIC_ACQUIRE)) {
    const uint64_t range = __atomic_fetch_add(&owner->range, 1, __ATOMIC_ACQ_REL);
    if (!has_item(range)) break;
    pool->task(pool->job, (int)next_of(range), thread);
    taken++;
  }
  return taken;
}

static void count_done(Pool *pool, uint32_t items) {
  if (items == 0) return;
  __atomic_add_fetch(&pool->done, items, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool->waits, __ATOMIC_SEQ_CST)) wake_sleepers(&pool->done, 1);
}

/* Does items of the job under way until none is left: the thread's own first. */
static void take_items(Pool *pool, int thread) {
  const int threads = __atomic_load_n(&pool->threads, __ATOMIC_RELAXED);
  for (int i = 0; i < threads; i++) {
    count_done(pool, take_from(pool, &pool->workers[(thread + i) % threads], thread));
  }
}

static void *work(void *argument) {
  const Worker *worker = argument;
  Pool *pool = worker->pool;
  for (;;) {
    take_items(pool, worker->number);
    const uint64_t since = ticks();
    int found;
    while (!(found = looks_like_work(worker, __ATOMIC_RELAXED)) && ticks() - since < LOOK_FOR_WORK) {
      pause_shortly();
    }
    if (found) continue;
    const uint32_t wakes = __atomic_load_n(&pool->wakes, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    /* Looked at again once the other side can see that this thread sleeps: else a job in between would wake nobody. */
    if (__atomic_load_n(&pool->closing, __ATOMIC_SEQ_CST)) return NULL;
    if (!looks_like_work(worker, __ATOMIC_SEQ_CST)) sleep_while(&pool->wakes, wakes);
    __atomic_sub_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
  }
}

static void wake_workers(Pool *pool, int threads) {
  __atomic_add_fetch(&pool->wakes, 1, __ATOMIC_SEQ_CST);
  wake_sleepers(&pool->wakes, threads);
}

void open_pool(Pool *pool, int threads) {
  pool->threads = 1;
  for (int number = 1; number < threads && number < MOST_THREADS; number++) {
    Worker *worker = &pool->workers[number];
    *worker = (Worker){.pool = pool, .number = number};
    if (pthread_create(&worker->handle, NULL, work, worker) != 0) return;
    __atomic_store_n(&pool->threads, number + 1, __ATOMIC_RELAXED);
  }
}

void share_items(Pool *pool, Task task, void *job, int items) {
  if (items <= 1 || pool->threads == 1 || pool->alone) {
    for (int item = 0; item < items; item++) task(job, item, 0);
    return;
  }
  pool->task = task;
  pool->job = job;
  __atomic_store_n(&pool->done, 0, __ATOMIC_RELAXED);
  const uint64_t threads = (uint64_t)pool->threads;
  for (uint64_t thread = 0, first = 0; thread < threads; thread++) {
    const uint64_t end = ((uint64_t)items * (thread + 1) + threads - 1) / threads;
    __atomic_store_n(&pool->workers[thread].range, end << 32 | first, __ATOMIC_RELEASE);
    first = end;
  }
  /* Before it is asked who sleeps: who then begins to sleep sees its range. */
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST) > 0) {
    wake_workers(pool, (items < pool->threads ? items : pool->threads) - 1);
  }
  uint32_t others = (uint32_t)items;
  for (uint64_t thread = 0; thread < threads; thread++) others -= take_from(pool, &pool->workers[thread], 0);
  for (const uint64_t since = ticks();;) {
    uint32_t done = __atomic_load_n(&pool->done, __ATOMIC_ACQUIRE);
    const uint64_t waited = ticks() - since;
    if (done == others) {
      if (waited >= LOOK_FOR_END) pool->late_until = since + (LATE_TIMES + 1) * waited;
      return;
    }
    if (waited < LOOK_FOR_END) {
      pause_shortly();
      continue;
    }
    __atomic_store_n(&pool->waits, 1, __ATOMIC_SEQ_CST);
    done = __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST);
    if (done != others) sleep_while(&pool->done, done);
    __atomic_store_n(&pool->waits, 0, __ATOMIC_SEQ_CST);
  }
}

int others_keep_up(const Pool *pool) { return ticks() >= pool->late_until; }

void close_pool(Pool *pool) {
  __atomic_store_n(&pool->closing, 1, __ATOMIC_SEQ_CST);
  wake_workers(pool, pool->threads);
  for (int number = 1; number < pool->threads; number++) pthread_join(pool->workers[number].handle, NULL);
}
