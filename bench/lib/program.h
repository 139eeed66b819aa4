// SPDX-License-Identifier: Apache-2.0
// What every benchmark program does around its measurements.
#ifndef VGPU_BENCH_LIB_PROGRAM_H_
#define VGPU_BENCH_LIB_PROGRAM_H_

#include <functional>
#include <memory>

#include "bench/lib/process.h"

namespace vgpu::bench {

// Binds the calling thread to kClientCpu and, while the result lives, raises the priority as far as that is
// permitted; says on stderr what could not be had. Null: no processor of its own, so nothing can be measured.
std::unique_ptr<HighPriority> TakeClientCpu();

// Announces a measurement on stderr and makes it; what it throws becomes its error.
Result<void> Measured(const char* name, const std::function<Result<void>()>& measure);

// The status of a program that is `run`: what it throws is its last word.
int StatusOf(const std::function<int()>& run);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_PROGRAM_H_
