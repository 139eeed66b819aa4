// SPDX-License-Identifier: Apache-2.0
#include "mediator/plan.h"

#include "engine/engine_abi.h"
#include "mediator/operations.h"

namespace vgpu::mediator {
namespace {

// Bytes of one operand. On an H100 75 us where the kernel reads over the bus, and 95 us in the copy engines.
constexpr uint64_t kDirectPieceBytes = 1 << 20;
constexpr uint64_t kCopiedPieceBytes = engine::kCopyBytesMax;
// 50 us at a tenth of the bus.
constexpr uint64_t kThrottledPieceBytes = 128 << 10;

}  // namespace

Plan PlanOnCpu(const Request& request) { return {PieceWay::kCpu, 0, request.op->piece(request)}; }

Plan PlanOnGpu(const Request& request, bool throttled, uint64_t copy_from_bytes) {
  const uint64_t element = ElementBytes(request.type);
  if (throttled) return {PieceWay::kThrottled, engine::kJobGentle, kThrottledPieceBytes / element};
  if (request.count * element < copy_from_bytes) return {PieceWay::kDirect, 0, kDirectPieceBytes / element};
  return {PieceWay::kCopied, engine::kJobCopies, kCopiedPieceBytes / element};
}

}  // namespace vgpu::mediator
