// SPDX-License-Identifier: Apache-2.0
// The engine process: CUDA lives here and nowhere else. The mediator starts it, may kill it at any time, and
// replaces it.
#ifndef VGPU_ENGINE_ENGINE_H_
#define VGPU_ENGINE_ENGINE_H_

namespace vgpu::engine {

// What a process does that the mediator has started as an engine (options.h); returns its exit status.
int EngineMain(int argc, char** argv);

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_ENGINE_H_
