// SPDX-License-Identifier: Apache-2.0
// Pages of shared memory may be missing: its owner has punched a hole, or never touched them. Whoever touches
// a missing page allocates it, and its own memory cgroup pays, although it is the owner's fault. So this
// process never does: in a guarded range a missing page is a bus error instead (bus_error_guard.h).
#ifndef VGPU_BASE_MISSING_PAGES_H_
#define VGPU_BASE_MISSING_PAGES_H_

#include <cstddef>
#include <string>

#include "base/result.h"

namespace vgpu::base::missing_pages {

// Can this kernel do it (userfaultfd with UFFD_FEATURE_SIGBUS)? The error says why not. Then Guard does
// nothing, and only Present finds missing pages. Any thread.
Result<void> Supported();

// From now on missing pages of [data, data + bytes), a shared mapping, are bus errors. Until it is unmapped.
// False: not supported for this memory.
bool Guard(const void* data, size_t bytes);

// Are all pages of [data, data + bytes) there? At most kCheckMax bytes.
inline constexpr size_t kCheckMax = size_t{4} << 20;
bool Present(const void* data, size_t bytes);

// Are all of these pages mapped in this process? In a range that was mapped in full, a page that is no longer
// mapped has been taken away, even if another one has come in its place. True where the kernel does not tell.
// Any thread.
bool Mapped(const void* data, size_t bytes);

}  // namespace vgpu::base::missing_pages

#endif  // VGPU_BASE_MISSING_PAGES_H_
