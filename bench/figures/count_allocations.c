/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded into the mediator (LD_PRELOAD): counts calls of the allocator in a file that is shared with the
 * benchmark, $VGPU_ALLOCATION_COUNTS, one 64-bit word for allocations and one for frees.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names of the functions that are replaced here. */
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t n, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void* block);

static uint64_t before_start[2];
static uint64_t* counts = before_start;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("VGPU_ALLOCATION_COUNTS");
  const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void* shared =
      fd < 0 ? MAP_FAILED : mmap(NULL, sizeof before_start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) counts = shared;
  if (fd >= 0) close(fd);
}

static void count(int which) { __atomic_fetch_add(&counts[which], 1, __ATOMIC_RELAXED); }

void* malloc(size_t bytes) {
  count(0);
  return __libc_malloc(bytes);
}
void* calloc(size_t n, size_t bytes) {
  count(0);
  return __libc_calloc(n, bytes);
}
void* realloc(void* block, size_t bytes) {
  count(0);
  return __libc_realloc(block, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  count(0);
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block ? 0 : ENOMEM;
}
void free(void* block) {
  if (block) count(1);
  __libc_free(block);
}
