// SPDX-License-Identifier: Apache-2.0
#include "base/crash_point.h"

#ifdef VGPU_CRASH_POINTS
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace vgpu::base {
namespace {

CrashPointHandler g_handler = nullptr;

struct Target {
  std::string name;
  std::atomic<long> hits_left{0};

  Target() {
    const char* at = std::getenv("VGPU_CRASH_AT");
    if (at == nullptr) return;
    name = at;
    hits_left = 1;
    if (const size_t colon = name.find(':'); colon != std::string::npos) {
      hits_left = std::strtol(name.c_str() + colon + 1, nullptr, 10);
      name.resize(colon);
    }
  }
};

}  // namespace

void SetCrashPointHandler(CrashPointHandler handler) { g_handler = handler; }

void HitCrashPoint(const char* name) {
  if (g_handler != nullptr) return g_handler(name);
  static Target target;
  if (target.name == name && target.hits_left.fetch_sub(1) == 1) raise(SIGKILL);
}

}  // namespace vgpu::base
#endif
