// SPDX-License-Identifier: Apache-2.0
// What the mediator tells an engine process on its command line.
#ifndef VGPU_ENGINE_OPTIONS_H_
#define VGPU_ENGINE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "base/version.h"

namespace vgpu::engine {

// Descriptors that the mediator leaves to an engine.
inline constexpr int kSocketFd = 3;
inline constexpr int kAreaFd = 4;
inline constexpr int kKickFd = 5;

// argv[1] of an engine process. The mediator's pid, kReleaseOption, Release() and the options follow.
inline constexpr const char* kEngineCommand = "--engine";
inline constexpr const char* kReleaseOption = "--release";

// Counts the changes of what the mediator and its worker say to each other: options, messages, area.
inline constexpr uint32_t kProtocol = 1;

// What the mediator and its worker must have in common.
inline std::string Release() { return std::string(base::kVersion) + "/" + std::to_string(kProtocol); }

struct EngineOptions {
  int gpu = 0;  // as the driver counts
  std::string driver_library = "libcuda.so.1";
  bool resident = true;  // false: the resident kernel is never used
  int idle_ms = 20;      // the resident kernel leaves after this long without a request
  // It says that it is idle after so many seconds without work; 0: never.
  int park_s = 30;
  // For its start, and for each region: longer means that the driver hangs.
  int start_ms = 60000;
  int delay_ms = 0;  // before it touches the GPU: another one died young
};

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_OPTIONS_H_
