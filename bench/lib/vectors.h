// SPDX-License-Identifier: Apache-2.0
// The operands of VECTOR_ADDs and how their sums are checked. To compare every element of every answer would
// take longer than to add them: elements at changing places, 16 or more of a vector, are new in each request
// and compared after it; now and then all are compared.
#ifndef VGPU_BENCH_LIB_VECTORS_H_
#define VGPU_BENCH_LIB_VECTORS_H_

#include <cstdint>

namespace vgpu::bench {

// c = a + b, i32. The memory outlives it, and the other side has it only between Prepare and
// the look at the sums.
class Vectors {
 public:
  Vectors(uint32_t* a, uint32_t* b, uint32_t* c, uint64_t count);

  // Before a request: other elements, and their old sums spoiled.
  void Prepare();
  // After it.
  bool SamplesRight() const;
  // Every element, if there was a request.
  bool AllRight() const;

  uint64_t count() const { return count_; }
  uint32_t* a() const { return a_; }
  const uint32_t* b() const { return b_; }
  uint32_t* c() const { return c_; }

 private:
  uint64_t Place(uint64_t sample) const;

  uint32_t* const a_;
  uint32_t* const b_;
  uint32_t* const c_;
  const uint64_t count_;
  const uint64_t step_;  // one sample in so many elements
  uint64_t serial_ = 0;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_VECTORS_H_
