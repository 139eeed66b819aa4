// SPDX-License-Identifier: Apache-2.0
#include "gpu/fake/cuda_context.h"

#include <map>
#include <mutex>

namespace vgpu::gpu::fake {
namespace {

thread_local CuContext current = nullptr;

// Never destroyed: threads of streams outlive main.
struct Contexts {
  std::mutex mutex;
  std::map<CuDevice, CUctx_st> of;
};
Contexts& contexts() {
  static auto* const contexts = new Contexts;
  return *contexts;
}

}  // namespace

CuContext Current() { return current; }

CuResult PrimaryCtxRetain(CuContext* context, CuDevice device) {
  const std::lock_guard lock(contexts().mutex);
  *context = &contexts().of[device];
  return kCuSuccess;
}

CuResult PrimaryCtxRelease(CuDevice) { return kCuSuccess; }
CuResult PrimaryCtxSetFlags(CuDevice, unsigned) { return kCuSuccess; }

CuResult CtxSetCurrent(CuContext context) {
  current = context;
  return kCuSuccess;
}

}  // namespace vgpu::gpu::fake
