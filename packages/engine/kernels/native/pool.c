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
 * A ticket is the job's number (24 bits), how many items it has (20) and the next item (20), in one word: who takes an item
 * learns at once whether there is one, whatever has become of the job in between. Whose item is one may read the job:
 * it is not over before this item is done.
 */
enum { ITEM_BITS = 20 };
static const uint64_t ITEM_MASK = (1u << ITEM_BITS) - 1;

static inline uint64_t item_of(uint64_t ticket) { return ticket & ITEM_MASK; }
static inline uint64_t items_of(uint64_t ticket) { return ticket >> ITEM_BITS & ITEM_MASK; }
static inline int has_item(uint64_t ticket) { return item_of(ticket) < items_of(ticket); }

/* Does items of the job under way until none is left. */
static void take_items(Pool *pool, int thread) {
  while (has_item(__atomic_load_n(&pool->tickets, __ATOMIC_ACQUIRE))) {
    const uint64_t ticket = __atomic_fetch_add(&pool->tickets, 1, __ATOMIC_ACQ_REL);
    if (!has_item(ticket)) return;
    pool->task(pool->job, (int)item_of(ticket), thread);
    const uint32_t done = __atomic_add_fetch(&pool->done, 1, __ATOMIC_SEQ_CST);
    if (done == items_of(ticket) && __atomic_load_n(&pool->waits, __ATOMIC_SEQ_CST)) wake_sleepers(&pool->done, 1);
  }
}

static void *work(void *argument) {
  const Worker *worker = argument;
  Pool *pool = worker->pool;
  for (;;) {
    take_items(pool, worker->number);
    const uint64_t since = ticks();
    int found;
    while (!(found = has_item(__atomic_load_n(&pool->tickets, __ATOMIC_RELAXED))) && ticks() - since < LOOK_FOR_WORK) {
      pause_shortly();
    }
    if (found) continue;
    const uint32_t wakes = __atomic_load_n(&pool->wakes, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    /* Looked at again once the other side can see that this thread sleeps: else a job in between would wake nobody. */
    if (__atomic_load_n(&pool->closing, __ATOMIC_SEQ_CST)) return NULL;
    if (!has_item(__atomic_load_n(&pool->tickets, __ATOMIC_SEQ_CST))) sleep_while(&pool->wakes, wakes);
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
    pool->threads = number + 1;
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
  const uint64_t number = (__atomic_load_n(&pool->tickets, __ATOMIC_RELAXED) >> 2 * ITEM_BITS) + 1;
  __atomic_store_n(&pool->tickets, number << 2 * ITEM_BITS | (uint64_t)items << ITEM_BITS, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST) > 0) {
    wake_workers(pool, (items < pool->threads ? items : pool->threads) - 1);
  }
  take_items(pool, 0);
  for (const uint64_t since = ticks();;) {
    uint32_t done = __atomic_load_n(&pool->done, __ATOMIC_ACQUIRE);
    if (done == (uint32_t)items) return;
    if (ticks() - since < LOOK_FOR_END) {
      pause_shortly();
      continue;
    }
    __atomic_store_n(&pool->waits, 1, __ATOMIC_SEQ_CST);
    done = __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST);
    if (done != (uint32_t)items) sleep_while(&pool->done, done);
    __atomic_store_n(&pool->waits, 0, __ATOMIC_SEQ_CST);
  }
}

void close_pool(Pool *pool) {
  __atomic_store_n(&pool->closing, 1, __ATOMIC_SEQ_CST);
  wake_workers(pool, pool->threads);
  for (int number = 1; number < pool->threads; number++) pthread_join(pool->workers[number].handle, NULL);
}
