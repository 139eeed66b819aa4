// SPDX-License-Identifier: Apache-2.0
// A Unix socket to which others connect.
#ifndef VGPU_BENCH_LIB_LISTENER_H_
#define VGPU_BENCH_LIB_LISTENER_H_

#include <string>

#include "base/unique_fd.h"
#include "bench/lib/process.h"

namespace vgpu::bench {

// A stream socket at `path` that listens.
Result<base::UniqueFd> Listen(const std::string& path);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_LISTENER_H_
