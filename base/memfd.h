// SPDX-License-Identifier: Apache-2.0
// Shared memory between processes that do not trust each other: sealed memfds, made and checked.
#ifndef VGPU_BASE_MEMFD_H_
#define VGPU_BASE_MEMFD_H_

#include <cstdint>

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::base {

// A zeroed memfd of `bytes` bytes that can neither shrink nor grow, nor lose these seals.
Result<UniqueFd> MakeSealedMemfd(const char* name, uint64_t bytes);

// Is `fd` such a memfd of exactly `bytes` bytes? Anything less could be truncated under its users (SIGBUS).
Result<void> CheckSealed(int fd, uint64_t bytes);

// Memory that its owner may attach: a sealed memfd, mapped, with every page present.
struct OwnedMemory {
  UniqueFd fd;
  Mapping mapping;
};
Result<OwnedMemory> MakeOwnedMemory(const char* name, uint64_t bytes);

}  // namespace vgpu::base

#endif  // VGPU_BASE_MEMFD_H_
