// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/program.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace vgpu::bench {

std::unique_ptr<HighPriority> TakeClientCpu() {
  if (const auto pinned = PinTo(kClientCpu); !pinned) {
    fmt::print(stderr, "{}\n", pinned.error());
    return nullptr;
  }
  auto priority = std::make_unique<HighPriority>();
  if (!priority->granted())
    fmt::print(stderr, "note: not permitted to raise the priority; expect more noise\n");
  return priority;
}

Result<void> Measured(const char* name, const std::function<Result<void>()>& measure) {
  fmt::print(stderr, "== {}\n", name);
  try {
    return measure();
  } catch (const std::exception& error) {
    return tl::make_unexpected(std::string(error.what()));
  }
}

int StatusOf(const std::function<int()>& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace vgpu::bench
