// SPDX-License-Identifier: Apache-2.0
// The arithmetic that a guest can ask for. Everything else that knows an operation derives it from these
// tables: what the mediator decodes and computes, the jobs that an engine accepts, the kernels, and the
// kernels of the driver for tests. README.md says how to add an operation; docs/spec/operations.md says what
// each does. C++17, for the host and for CUDA.
#ifndef VGPU_OPERATIONS_TABLE_H_
#define VGPU_OPERATIONS_TABLE_H_

#include <cstdint>

#include "api/vector.h"
#include "operations/element.h"
#include "operations/vector_table.h"

namespace vgpu::operations {

// ---- vectors: c[i] is computed of a[i] and b[i] ----
//
// A row has
//   kOpcode, kName    as in api/ and in docs/spec/operations.md
//   kOperands         2: arguments count, a, b, c; 1: count, a, c, and y is x
//   kTypes            a set of types of elements
//   Compute(x, y, z)  sets *z; T is an element, or on the host a vector of elements

struct VectorAdd {
  static constexpr uint32_t kOpcode = VGPU_OP_VECTOR_ADD;
  static constexpr const char* kName = "VECTOR_ADD";
  static constexpr uint32_t kOperands = 2;
  static constexpr uint32_t kTypes = kEveryType;
  template <class T>
  VGPU_ELEMENT static void Compute(const T& x, const T& y, T* z) {
    Plus(x, y, z);
  }
};

using Vectors = VectorTable<VectorAdd>;

// ---- small operations: they touch nothing but their slot ----
//
// A row has
//   kOpcode, kName   as above
//   kHasOperands     argument 0 is two numbers of 32 bits; else both are 0
//   kSumOnGpu        the sum of both numbers is the answer: a GPU computes it. Else the CPU does
//   Answer(operands) the answer's data; b is the high half

struct Nop {
  static constexpr uint32_t kOpcode = VGPU_OP_NOP;
  static constexpr const char* kName = "NOP";
  static constexpr bool kHasOperands = false;
  static constexpr bool kSumOnGpu = true;
  static constexpr uint32_t Answer(uint64_t) { return 0; }
};

struct Add {
  static constexpr uint32_t kOpcode = VGPU_OP_ADD;
  static constexpr const char* kName = "ADD";
  static constexpr bool kHasOperands = true;
  static constexpr bool kSumOnGpu = true;
  static constexpr uint32_t Answer(uint64_t operands) {
    return static_cast<uint32_t>(operands) + static_cast<uint32_t>(operands >> 32);
  }
};

template <class... Rows>
struct SmallTable {
  static_assert(AllDiffer({Rows::kOpcode...}), "two rows have one opcode");
};

using SmallOperations = SmallTable<Nop, Add>;

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_TABLE_H_
