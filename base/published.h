// SPDX-License-Identifier: Apache-2.0
// A number that one thread writes and any thread may read, such as a counter of a lane, which control shows
// to an operator. It orders nothing: two of them, read one after the other, may be of different moments.
#ifndef VGPU_BASE_PUBLISHED_H_
#define VGPU_BASE_PUBLISHED_H_

#include <atomic>

namespace vgpu::base {

// Its writer uses a load, an addition and a store, as cheap as for a plain number. No write is lost, since
// only one thread writes.
template <class T>
class Published {
 public:
  Published() = default;
  Published(T value) : value_(value) {}  // NOLINT: stands for its number
  Published(const Published& other) : value_(other.Get()) {}
  Published& operator=(const Published& other) { return *this = other.Get(); }

  T Get() const { return value_.load(std::memory_order_relaxed); }
  operator T() const { return Get(); }  // NOLINT: stands for its number

  // The writer's.
  Published& operator=(T value) {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  Published& operator+=(T value) { return *this = static_cast<T>(Get() + value); }
  Published& operator++() { return *this += 1; }

 private:
  static_assert(std::atomic<T>::is_always_lock_free);
  std::atomic<T> value_{};
};

}  // namespace vgpu::base

#endif  // VGPU_BASE_PUBLISHED_H_
