// SPDX-License-Identifier: Apache-2.0
// The program of engine processes, vgpu-worker: which file it is. CUDA is in that program,
// and never in this one.
#ifndef VGPU_MEDIATOR_GPU_WORKER_PROGRAM_H_
#define VGPU_MEDIATOR_GPU_WORKER_PROGRAM_H_

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {

// Where the file of this process's own program lies; empty where /proc does not tell.
std::filesystem::path OwnProgram();

// The paths at which the worker of this mediator may lie, best first: in the mediator's folder, or in
// ../libexec/vgpu-ring. Its name has the ending of the mediator's: mediator_crash starts vgpu-worker_crash.
std::vector<std::filesystem::path> WorkerPlaces(const std::filesystem::path& mediator);

// Opens the worker of this mediator, for EngineProcess::Start. Whoever keeps it open goes on with this file
// when another release is installed over it. An error says where a worker is missing, and what to do.
base::Result<base::UniqueFd> OpenWorker(const std::filesystem::path& mediator);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_WORKER_PROGRAM_H_
