/*
 * What is used of the C library, which the process that loads this has already: declared here, so that the libraries
 * build without a system's headers, for any system.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef unsigned long pthread_t;

int pthread_create(pthread_t *thread, const void *attributes, void *(*run)(void *), void *argument);
int pthread_join(pthread_t thread, void **result);
long syscall(long number, ...);
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, long offset);
int munmap(void *address, size_t length);
int madvise(void *address, size_t length, int advice);
int sched_yield(void);

/* Zeroed memory that takes room only where it is touched; NULL where the system refuses. */
void *take_memory(size_t bytes);
void give_memory(void *memory, size_t bytes);

/*
 * Says that mapped memory is best in large pages, which a file's are then read into: where they are in memory already, or
 * the system has none, all stays as it is.
 */
void prefer_large_pages(uintptr_t address, size_t bytes);

/* Sleeps while the word is `expected`; may wake for no reason. */
void sleep_while(uint32_t *word, uint32_t expected);
/* Wakes at most `threads` of those who sleep on the word. */
void wake_sleepers(uint32_t *word, int threads);
