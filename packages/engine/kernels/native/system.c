#include "system.h"

/* Numbers of Linux. */
enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022, MADV_HUGEPAGE = 14, FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };
#if defined(__x86_64__)
enum { SYS_FUTEX = 202 };
#elif defined(__aarch64__)
enum { SYS_FUTEX = 98 };
#endif

void *take_memory(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0);
  return memory == (void *)-1 ? NULL : memory;
}

void give_memory(void *memory, size_t bytes) {
  if (memory != NULL) munmap(memory, bytes);
}

void prefer_large_pages(uintptr_t address, size_t bytes) {
  /* No system has larger ones that are not called large. */
  const uintptr_t page = 65536;
  const uintptr_t first = address & ~(page - 1);
  madvise((void *)first, ((address + bytes + page - 1) & ~(page - 1)) - first, MADV_HUGEPAGE);
}

void sleep_while(uint32_t *word, uint32_t expected) { syscall(SYS_FUTEX, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0); }

void wake_sleepers(uint32_t *word, int threads) { syscall(SYS_FUTEX, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0); }
