// SPDX-License-Identifier: Apache-2.0
#include "base/mutant.h"

#ifdef VGPU_CRASH_POINTS
#include <cstring>

namespace vgpu::base {
namespace {

const char* g_mutant = nullptr;

}  // namespace

bool SetMutant(const char* name) {
  g_mutant = name;
  return true;
}

bool IsMutant(const char* name) { return g_mutant != nullptr && std::strcmp(g_mutant, name) == 0; }

}  // namespace vgpu::base
#endif
