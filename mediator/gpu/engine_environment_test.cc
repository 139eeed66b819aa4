// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_environment.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

using Names = std::vector<std::string>;

TEST(EngineEnvironmentTest, OtherProgramsVariables_AreKeptAway) {
  const char* const environment[] = {"PATH=/bin",
                                     "CUDA_LAUNCH_BLOCKING=1",
                                     "CUDA_VISIBLE_DEVICES=1",
                                     "CUDA_INJECTION64_PATH=/x",
                                     "CUDA_MPS_PIPE_DIRECTORY=/m",
                                     "COMPUTE_PROFILE=1",
                                     "LD_LIBRARY_PATH=/l",
                                     nullptr};
  EXPECT_EQ(EngineEnvironment(environment), (Names{"PATH=/bin", "CUDA_VISIBLE_DEVICES=1",
                                                   "CUDA_MPS_PIPE_DIRECTORY=/m", "LD_LIBRARY_PATH=/l"}));
  EXPECT_EQ(VariablesKeptFromEngines(environment),
            (Names{"CUDA_LAUNCH_BLOCKING", "CUDA_INJECTION64_PATH", "COMPUTE_PROFILE"}));
}

}  // namespace
}  // namespace vgpu::mediator
