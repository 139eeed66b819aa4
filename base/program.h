// SPDX-License-Identifier: Apache-2.0
// What a program does with itself before anything else.
#ifndef VGPU_BASE_PROGRAM_H_
#define VGPU_BASE_PROGRAM_H_

#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

namespace vgpu::base {

// Nothing that whoever started us left open gets into programs that we start. Of our own descriptors none does.
inline void KeepDescriptors() { close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC); }

// Nobody of the same user looks into this process's memory and descriptors (through /proc, with a debugger, in a core file):
// they are the VMs'. VGPU_DUMPABLE in the environment, which only who starts it can set, is for debugging.
inline void HideProcess() {
  if (std::getenv("VGPU_DUMPABLE") == nullptr) prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_PROGRAM_H_
