/*
 * A pool of two threads, the second of which is late with its item once. Prints whether the others keep up, before and after;
 * ends when they are said to again.
 */
#include <stdio.h>
#include <unistd.h>

#include "pool.h"

/* Microseconds: far more than a thread looks for the end of a job before it sleeps. */
enum { LATE = 10000 };

/* Each thread has one of the two items: none is done before both have begun. */
static void take_part(void *job, int item, int thread) {
  uint32_t *begun = job;
  (void)item;
  __atomic_add_fetch(begun, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(begun, __ATOMIC_SEQ_CST) < 2) usleep(10);
  if (thread != 0) usleep(LATE);
}

int main(void) {
  static Pool pool;
  uint32_t begun = 0;
  open_pool(&pool, 2);
  printf("%d", others_keep_up(&pool));
  share_items(&pool, take_part, &begun, 2);
  printf(" %d\n", others_keep_up(&pool));
  while (!others_keep_up(&pool)) usleep(1000);
  close_pool(&pool);
  return 0;
}
