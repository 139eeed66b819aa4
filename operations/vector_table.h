// SPDX-License-Identifier: Apache-2.0
// What follows from the rows of a table of vector operations (table.h has the table): a number for each pair
// of a row and a type, and what is known of each. C++17, for the host and for CUDA; on the GPU types and
// constants only.
#ifndef VGPU_OPERATIONS_VECTOR_TABLE_H_
#define VGPU_OPERATIONS_VECTOR_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "operations/element.h"

namespace vgpu::operations {

template <size_t kCount>
constexpr bool AllDiffer(const uint32_t (&values)[kCount]) {
  for (size_t i = 0; i < kCount; ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (values[i] == values[k]) return false;
    }
  }
  return true;
}

// Bytes of one element of this row's vectors; 0: the row lacks the type. `type` may be anything.
template <class Row>
constexpr uint64_t ElementBytesOf(uint32_t type) {
  return type < kElementTypes && (Row::kTypes >> type & 1) != 0 ? ElementBytes(type) : 0;
}

template <class... Rows>
struct VectorTable {
  static_assert(sizeof...(Rows) > 0);
  static_assert(AllDiffer({Rows::kOpcode...}), "two rows have one opcode");
  static_assert(((Rows::kOperands == 1 || Rows::kOperands == 2) && ...), "loops and kernels have a and b");
  static_assert(((Rows::kTypes != 0 && (Rows::kTypes & ~kEveryType) == 0) && ...), "a row needs known types");

  // Numbers are below this. A row's numbers follow each other, in the order of the types. A type that the row
  // lacks has a number, too, but nobody uses it: it does not exist.
  static constexpr uint32_t kNumbers = static_cast<uint32_t>(sizeof...(Rows)) * kElementTypes;

  // One number.
  template <uint32_t kNumber>
  struct At {
    using Row = std::tuple_element_t<kNumber / kElementTypes, std::tuple<Rows...>>;
    static constexpr uint32_t kType = kNumber % kElementTypes;
    using T = Element<kType>;
    static constexpr bool kExists = (Row::kTypes >> kType & 1) != 0;
  };

  // `type` is one of the row's.
  template <class Row>
  static constexpr uint32_t Number(uint32_t type) {
    static_assert((std::is_same_v<Row, Rows> || ...), "the table has no such row");
    uint32_t row = 0;
    (void)((std::is_same_v<Row, Rows> || (++row, false)) || ...);
    return row * kElementTypes + type;
  }

  // Bytes of one element of such vectors; 0: there is no such number. `number` may be anything.
  static constexpr uint64_t BytesOf(uint32_t number) {
    if (number >= kNumbers) return 0;
    constexpr uint32_t kTypes[] = {Rows::kTypes...};
    const uint32_t type = number % kElementTypes;
    return (kTypes[number / kElementTypes] >> type & 1) != 0 ? ElementBytes(type) : 0;
  }

  static constexpr std::array<uint32_t, sizeof...(Rows)> kOpcodes = {Rows::kOpcode...};
  static constexpr bool Has(uint32_t opcode) { return ((opcode == Rows::kOpcode) || ...); }

  // Calls visitor(At<number>()). False: there is no such number.
  template <class Visitor>
  static bool Visit(uint32_t number, Visitor visitor) {
    return VisitOne(number, &visitor, std::make_integer_sequence<uint32_t, kNumbers>());
  }
  // The same for each number that there is.
  template <class Visitor>
  static void VisitAll(Visitor visitor) {
    for (uint32_t number = 0; number < kNumbers; ++number) Visit(number, visitor);
  }

 private:
  template <class Visitor, uint32_t... kEach>
  static bool VisitOne(uint32_t number, Visitor* visitor, std::integer_sequence<uint32_t, kEach...>) {
    return ((number == kEach && VisitIfItExists<At<kEach>>(visitor)) || ...);
  }
  template <class Found, class Visitor>
  static bool VisitIfItExists([[maybe_unused]] Visitor* visitor) {
    if constexpr (Found::kExists) (*visitor)(Found());
    return Found::kExists;
  }
};

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_VECTOR_TABLE_H_
