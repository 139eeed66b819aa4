// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/plan.h"

#include "engine/engine_abi.h"
#include "mediator/requests/operations.h"
#include "mediator/sched/policy.h"

namespace vgpu::mediator {

static_assert(policy::kCopiedPieceBytes <= engine::kCopyBytesMax);

Plan PlanOnGpu(const Request& request, bool throttled, uint64_t copy_from_bytes) {
  const uint64_t element = ElementBytes(request.type);
  if (throttled) return {PieceWay::kThrottled, engine::kJobThrottled, policy::kThrottledPieceBytes / element};
  if (request.count * element < copy_from_bytes)
    return {PieceWay::kDirect, 0, policy::kDirectPieceBytes / element};
  return {PieceWay::kCopied, engine::kJobCopies, policy::kCopiedPieceBytes / element};
}

}  // namespace vgpu::mediator
