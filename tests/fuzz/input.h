// SPDX-License-Identifier: Apache-2.0
// What every fuzz target shares: the input as a stream of values, and a check that stays on.
#ifndef VGPU_TESTS_FUZZ_INPUT_H_
#define VGPU_TESTS_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#define FUZZ_CHECK(cond)                                                            \
  do {                                                                              \
    if (!(cond)) {                                                                  \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
      std::abort();                                                                 \
    }                                                                               \
  } while (false)

namespace vgpu::fuzz {

// Reads the input from front to back; zeros when it has ended.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  bool ended() const { return left_ == 0; }

  template <class T>
  T Take() {
    static_assert(std::is_integral_v<T>);
    T value = 0;
    const size_t bytes = left_ < sizeof value ? left_ : sizeof value;
    if (bytes > 0) std::memcpy(&value, data_, bytes);
    data_ += bytes;
    left_ -= bytes;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace vgpu::fuzz

// The target: any input must return 0 and break no check.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // VGPU_TESTS_FUZZ_INPUT_H_
