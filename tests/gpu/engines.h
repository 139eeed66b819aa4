// SPDX-License-Identifier: Apache-2.0
// The engine processes of a daemon, seen from outside.
#ifndef VGPU_TESTS_GPU_ENGINES_H_
#define VGPU_TESTS_GPU_ENGINES_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace vgpu::test {

// The children of a process, oldest first.
std::vector<pid_t> ChildrenOf(pid_t pid);
// Is it there, and not a zombie?
bool Alive(pid_t pid);

}  // namespace vgpu::test

#endif  // VGPU_TESTS_GPU_ENGINES_H_
