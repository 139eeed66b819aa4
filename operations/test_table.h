// SPDX-License-Identifier: Apache-2.0
// Operations that no guest can ask for: a table of the tests' own, which shows that a row is enough.
#ifndef VGPU_OPERATIONS_TEST_TABLE_H_
#define VGPU_OPERATIONS_TEST_TABLE_H_

#include <cstdint>

#include "api/vector.h"
#include "operations/element.h"
#include "operations/table.h"
#include "operations/vector_table.h"

namespace vgpu::operations {

// Of integers only.
struct TestMultiply {
  static constexpr uint32_t kOpcode = 0xf0;
  static constexpr const char* kName = "TEST_MULTIPLY";
  static constexpr uint32_t kOperands = 2;
  static constexpr uint32_t kTypes = 1u << VGPU_TYPE_I32 | 1u << VGPU_TYPE_I64;
  template <class T>
  VGPU_ELEMENT static void Compute(const T& x, const T& y, T* z) {
    *z = x * y;
  }
};

// Of one operand, and of floats only.
struct TestNegate {
  static constexpr uint32_t kOpcode = 0xf1;
  static constexpr const char* kName = "TEST_NEGATE";
  static constexpr uint32_t kOperands = 1;
  static constexpr uint32_t kTypes = 1u << VGPU_TYPE_F32 | 1u << VGPU_TYPE_F64;
  template <class T>
  VGPU_ELEMENT static void Compute(const T& x, const T&, T* z) {
    *z = -x;
  }
};

using TestVectors = VectorTable<VectorAdd, TestMultiply, TestNegate>;

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_TEST_TABLE_H_
