// SPDX-License-Identifier: Apache-2.0
// Memory that a process shares with those that it forks, at the same address.
#ifndef VGPU_BENCH_LIB_SHARED_MEMORY_H_
#define VGPU_BENCH_LIB_SHARED_MEMORY_H_

#include <sys/mman.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace vgpu::bench {

// One object of type T in shared memory. All pages are present from the start.
template <class T>
class Shared {
 public:
  template <class... Args>
  explicit Shared(Args&&... args) {
    void* memory =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    object_ = new (memory) T(std::forward<Args>(args)...);
  }
  ~Shared() {
    object_->~T();
    munmap(static_cast<void*>(object_), sizeof(T));
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  T* get() const { return object_; }

 private:
  T* object_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_SHARED_MEMORY_H_
