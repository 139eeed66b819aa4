// SPDX-License-Identifier: Apache-2.0
// Modules, which all hold the same kernels, and launches.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "gpu/fake/cuda_kernels.h"

namespace vgpu::gpu {

struct CUmod_st {};

struct CUfunc_st {
  std::string_view name;
  // The work of a launch, with copies of its parameters; none: this kernel is not launched so.
  fake::Work (*prepare)(const fake::Launch& launch);
};

namespace fake {
namespace {

constexpr uint64_t kMaxThreads = 1024;  // of a block

CUfunc_st functions[] = {
    {"VgpuResident", PrepareResident},
    {"VgpuBatchKernel", PrepareBatch},
    {"VgpuNativeAdd", PrepareNativeAdd},
    {"VgpuBusy", PrepareBusy},
};

}  // namespace

CuResult ModuleLoadData(CuModule* module, const void* image) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  if (const CuResult wanted = Setting("FAKE_CUDA_MODULE", kCuSuccess); wanted != kCuSuccess) return wanted;
  if (image == nullptr) return kInvalidValue;
  *module = new CUmod_st;
  return kCuSuccess;
}

CuResult ModuleUnload(CuModule module) {
  const CuResult waited = WaitForAll();
  if (waited != kInvalidContext) delete module;
  return waited;
}

CuResult ModuleGetFunction(CuFunction* function, CuModule, const char* name) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  auto* const found = std::find_if(std::begin(functions), std::end(functions),
                                   [&](const CUfunc_st& f) { return f.name == name; });
  if (found == std::end(functions)) return kNotFound;
  *function = found;
  return kCuSuccess;
}

CuResult LaunchKernel(CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned, CuStream stream,
                      void** parameters, void**) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  const uint64_t blocks = uint64_t{grid_x} * grid_y * grid_z;
  const uint64_t threads = uint64_t{block_x} * block_y * block_z;
  if (blocks == 0 || threads == 0 || threads > kMaxThreads || parameters == nullptr) return kInvalidValue;
  Work work = function->prepare({grid_x, grid_y, block_x, parameters});
  return work == nullptr ? kInvalidValue : Enqueue(stream, std::move(work));
}

}  // namespace fake
}  // namespace vgpu::gpu
