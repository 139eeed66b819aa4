// SPDX-License-Identifier: Apache-2.0
// Vector additions of random operands on one ring, verified against this CPU's own sums.
#ifndef VGPU_GUEST_VADD_H_
#define VGPU_GUEST_VADD_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "api/vector.h"
#include "guest/client.h"
#include "guest/error.h"
#include "guest/progress.h"

namespace vgpu::guest {

struct VaddPlan {
  uint64_t count = 1;
  uint32_t type = VGPU_TYPE_I32;       // VGPU_TYPE_*
  bool in_place = false;               // the sum replaces the first operand
  std::chrono::nanoseconds timeout{};  // for each request
  uint64_t seed = 0;
  const std::atomic<bool>* stop = nullptr;  // when set, ends at once with what there is
  Progress* progress = nullptr;
};

struct VaddResult {
  // Elements whose sums have come; fewer than planned: stopped, or `error`.
  uint64_t count = 0;
  uint64_t wrong = 0;                  // of these, sums that were wrong
  uint64_t requests = 0;               // that were sent; what does not fit the arena at once takes several
  std::chrono::nanoseconds waited{0};  // from sending to the answer, all requests together
  std::optional<Error> error;          // what ended it, if some sums had come before
};

// Operands are random bits: integers wrap, floats are of every kind; any NaN equals any NaN,
// else bits are compared.
Result<VaddResult> Vadd(Client& client, const VaddPlan& plan);

// "i32" and so on; nullptr if `type` is none.
const char* TypeName(uint32_t type);
// Bytes of one element of a VGPU_TYPE_*.
uint32_t TypeBytes(uint32_t type);

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_VADD_H_
