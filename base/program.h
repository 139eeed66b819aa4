// SPDX-License-Identifier: Apache-2.0
// What a program does with itself before anything else.
#ifndef VGPU_BASE_PROGRAM_H_
#define VGPU_BASE_PROGRAM_H_

#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

namespace vgpu::base {

// Descriptors that our parent left open do not get into programs that we start. Our own never do.
inline void KeepDescriptors() { close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC); }

// Other processes of the same user cannot look into this process's memory and descriptors (through /proc,
// with a debugger, in a core file): these are the VMs'.
// VGPU_DUMPABLE in the environment allows it, for debugging.
inline void HideProcess() {
  if (std::getenv("VGPU_DUMPABLE") == nullptr) prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_PROGRAM_H_
