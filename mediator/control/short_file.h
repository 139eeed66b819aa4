// SPDX-License-Identifier: Apache-2.0
// A lane touches only files that are punched quickly. Whoever touches memory from which a hole is being
// punched sleeps for the whole punch. On a lane, every VM would wait. So the size of such a file is bounded.
#ifndef VGPU_MEDIATOR_CONTROL_SHORT_FILE_H_
#define VGPU_MEDIATOR_CONTROL_SHORT_FILE_H_

#include <cstdint>

#include "ring/abi.h"

namespace vgpu::mediator {

// Files of these sizes are punched in about half a millisecond (docs/adr/0008-memory-that-vanishes.md). The
// second size is for huge pages of 2 MiB, of which a file has fewer.
inline constexpr uint64_t kShortFileBytes = uint64_t{4} << 20;
inline constexpr uint64_t kShortHugeFileBytes = uint64_t{1} << 30;
static_assert(VGPU_RINGS_BYTES_MAX <= kShortFileBytes, "any rings file is short");

// Of a memfd of this many bytes.
bool IsShortFile(int fd, uint64_t bytes);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_SHORT_FILE_H_
