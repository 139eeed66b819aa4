// SPDX-License-Identifier: Apache-2.0
// Requests whose answers can be checked after a crash: each knows what its memory held before, so that it can
// tell "not run", "run once" and "run twice" apart.
#ifndef VGPU_TESTS_RESTART_WORK_H_
#define VGPU_TESTS_RESTART_WORK_H_

#include <array>
#include <cstdint>
#include <string>

#include "ring/ring_ref.h"

namespace vgpu::test {

enum class Op : uint8_t {
  kNop,
  kAdd,
  kDeviceInfo,
  kVaddSmall,
  kVaddLarge,
  kInPlaceSmall,
  kInPlaceLarge,
  kWindow
};
inline constexpr Op kOps[] = {Op::kNop,       Op::kAdd,          Op::kDeviceInfo,   Op::kVaddSmall,
                              Op::kVaddLarge, Op::kInPlaceSmall, Op::kInPlaceLarge, Op::kWindow};
const char* OpName(Op op);

// Not harmless to repeat.
inline bool InPlace(Op op) { return op == Op::kInPlaceSmall || op == Op::kInPlaceLarge; }
// Runs in pieces on a worker.
inline bool Large(Op op) { return op == Op::kVaddLarge || op == Op::kInPlaceLarge; }

inline constexpr uint64_t kSmallCount = 100;               // i32: runs in the loop itself
inline constexpr uint64_t kLargeCount = 2 * 32768 + 1000;  // i32: three pieces
inline constexpr uint32_t kLargePieces = 3;
inline constexpr uint64_t kWorkBytes = 1 << 20;  // of arena that one piece of work needs

// One request. `place` is its own kWorkBytes of the arena, at offset `off`.
class Work {
 public:
  Work(Op op, uint32_t serial, char* place, uint64_t off);

  Op op() const { return op_; }
  uint32_t opcode() const;
  uint32_t type() const { return 0; }
  const std::array<uint64_t, VGPU_SLOT_ARGS>& args() const { return args_; }

  // "" if this answer is right: the result of exactly one run; or, only for what must not be repeated, code
  // 12 and a memory in which no element was added twice.
  std::string Check(ring::Answer answer) const;

 private:
  uint64_t count() const { return Large(op_) ? kLargeCount : kSmallCount; }
  uint32_t A(uint64_t i) const { return static_cast<uint32_t>(i) * 2654435761u + serial_; }
  uint32_t B(uint64_t i) const { return static_cast<uint32_t>(i) + 7 * serial_ + 1; }
  std::string CheckVector(ring::Answer answer) const;
  std::string CheckWindow(ring::Answer answer) const;

  Op op_;
  uint32_t serial_;
  char* place_;
  std::array<uint64_t, VGPU_SLOT_ARGS> args_{};
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_RESTART_WORK_H_
