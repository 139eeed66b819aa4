// SPDX-License-Identifier: Apache-2.0
// What engines get of the mediator's environment. People export CUDA's variables for other programs; one of
// them (CUDA_LAUNCH_BLOCKING) makes each launch wait for its end, which the resident kernel's never comes to.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_ENVIRONMENT_H_
#define VGPU_MEDIATOR_GPU_ENGINE_ENVIRONMENT_H_

#include <string>
#include <vector>

namespace vgpu::mediator {

// "NAME=VALUE" of each variable that an engine may have: all but CUDA's, of which it gets those that choose
// GPUs, MPS and the cache, and those that say where a toolkit lies.
std::vector<std::string> EngineEnvironment(const char* const* environment);
// The names of the others.
std::vector<std::string> VariablesKeptFromEngines(const char* const* environment);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_ENVIRONMENT_H_
