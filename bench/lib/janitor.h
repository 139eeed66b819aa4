// SPDX-License-Identifier: Apache-2.0
// Folders that go with this process, even if it is killed and runs no destructor any more.
#ifndef VGPU_BENCH_LIB_JANITOR_H_
#define VGPU_BENCH_LIB_JANITOR_H_

#include <string>

namespace vgpu::bench {

// A process of its own removes `folder` once this process, and those that it forked, are gone. Does nothing
// where no process can be started: the folder then stays behind, if nobody else removes it.
void RemoveAtEnd(const std::string& folder);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_JANITOR_H_
