/*
 * Threads that share the items of a job. Each has a range of them, the same of every job of a kind, so that what it reads
 * and writes stays in its own caches; who is done takes what others have left. The thread that has the job works on it too,
 * and waits for no item that another has not taken: a thread that the system runs late costs its share and no more.
 */
#pragma once

#include <stdint.h>

#include "system.h"

enum { MOST_THREADS = 256 };

/* Item `item` of a job, done by thread `thread`: 0 is the one that has the job. */
typedef void (*Task)(void *job, int item, int thread);

typedef struct Pool Pool;

typedef struct {
  /* Of the job under way, the items that are this thread's: see `next_of` in pool.c. */
  _Alignas(64) uint64_t range;
  Pool *pool;
  pthread_t handle;
  int number;
} Worker;

struct Pool {
  /* Items of the job under way that are done, but for those of the thread that has it. */
  _Alignas(64) uint32_t done;
  uint32_t waits;
  _Alignas(64) uint32_t wakes;
  uint32_t sleepers;
  uint32_t closing;
  Task task;
  void *job;
  int threads;
  /* Not 0 while jobs are not to be shared. */
  int alone;
  /* See `others_keep_up`. */
  uint64_t late_until;
  /* The first is the thread that has the job. */
  Worker workers[MOST_THREADS];
};

/* Starts threads - 1 threads: fewer where the system gives no more. `pool` is zeroed memory. */
void open_pool(Pool *pool, int threads);
/* Does items 0 to items - 1 of a job, in any order. Returns when all are done. */
void share_items(Pool *pool, Task task, void *job, int items);
/*
 * Whether small jobs are worth sharing now: 0 for a while after the thread that has a job had to wait for another that the
 * system did not run.
 */
int others_keep_up(const Pool *pool);
/* Ends the threads. */
void close_pool(Pool *pool);
