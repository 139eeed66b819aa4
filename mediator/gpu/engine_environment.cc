// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_environment.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace vgpu::mediator {
namespace {

constexpr std::array<std::string_view, 3> kNotForEngines = {"CUDA_", "COMPUTE_PROFILE", "NVPROF_"};
constexpr std::array<std::string_view, 6> kForEngines = {
    "CUDA_VISIBLE_DEVICES=", "CUDA_DEVICE_ORDER=", "CUDA_MPS_", "CUDA_CACHE_", "CUDA_HOME=", "CUDA_PATH"};

bool IsForEngines(std::string_view entry) {
  const auto begins = [entry](std::string_view prefix) { return entry.starts_with(prefix); };
  return std::none_of(kNotForEngines.begin(), kNotForEngines.end(), begins) ||
         std::any_of(kForEngines.begin(), kForEngines.end(), begins);
}

}  // namespace

std::vector<std::string> EngineEnvironment(const char* const* environment) {
  std::vector<std::string> kept;
  for (; *environment != nullptr; ++environment) {
    if (IsForEngines(*environment)) kept.emplace_back(*environment);
  }
  return kept;
}

std::vector<std::string> VariablesKeptFromEngines(const char* const* environment) {
  std::vector<std::string> names;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (!IsForEngines(entry)) names.emplace_back(entry.substr(0, entry.find('=')));
  }
  return names;
}

}  // namespace vgpu::mediator
