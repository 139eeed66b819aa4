// SPDX-License-Identifier: Apache-2.0
// NVIDIA's driver, reached through resolved pointers: a program that uses this starts on any machine, and
// neither it nor its build needs a toolkit. The declarations are those of the driver's stable C ABI that we
// call, and no more.
#ifndef VGPU_GPU_CUDA_DRIVER_H_
#define VGPU_GPU_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace vgpu::gpu {

template <class T>
using Result = base::Result<T>;

using CuResult = int;
inline constexpr CuResult kCuSuccess = 0;
inline constexpr CuResult kCuNotReady = 600;
using CuDevice = int;
using CuDevicePtr = uint64_t;
using CuContext = struct CUctx_st*;
using CuModule = struct CUmod_st*;
using CuFunction = struct CUfunc_st*;
using CuStream = struct CUstream_st*;
using CuGraph = struct CUgraph_st*;
using CuGraphExec = struct CUgraphExec_st*;

inline constexpr unsigned kCuStreamNonBlocking = 1;
inline constexpr unsigned kCuHostRegisterPortable = 1;
inline constexpr unsigned kCuHostRegisterMapped = 2;
inline constexpr unsigned kCuCtxScheduleSpin = 1;
inline constexpr int kCuCaptureThreadLocal = 1;

// X(member, symbol, parameters)
#define VGPU_CUDA_FUNCTIONS(X)                                                                            \
  X(Init, "cuInit", (unsigned flags))                                                                     \
  X(DriverGetVersion, "cuDriverGetVersion", (int* version))                                               \
  X(GetErrorName, "cuGetErrorName", (CuResult error, const char** name))                                  \
  X(GetErrorString, "cuGetErrorString", (CuResult error, const char** text))                              \
  X(DeviceGetCount, "cuDeviceGetCount", (int* count))                                                     \
  X(DeviceGet, "cuDeviceGet", (CuDevice * device, int ordinal))                                           \
  X(DeviceGetName, "cuDeviceGetName", (char* name, int bytes, CuDevice device))                           \
  X(DeviceTotalMem, "cuDeviceTotalMem_v2", (size_t * bytes, CuDevice device))                             \
  X(PrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CuContext * context, CuDevice device))                 \
  X(PrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CuDevice device))                                 \
  X(PrimaryCtxSetFlags, "cuDevicePrimaryCtxSetFlags_v2", (CuDevice device, unsigned flags))               \
  X(CtxSetCurrent, "cuCtxSetCurrent", (CuContext context))                                                \
  X(CtxSynchronize, "cuCtxSynchronize", ())                                                               \
  X(CtxGetStreamPriorityRange, "cuCtxGetStreamPriorityRange", (int* least, int* greatest))                \
  X(ModuleLoadData, "cuModuleLoadData", (CuModule * module, const void* image))                           \
  X(ModuleUnload, "cuModuleUnload", (CuModule module))                                                    \
  X(ModuleGetFunction, "cuModuleGetFunction", (CuFunction * function, CuModule module, const char* name)) \
  X(LaunchKernel, "cuLaunchKernel",                                                                       \
    (CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,            \
     unsigned block_y, unsigned block_z, unsigned shared_bytes, CuStream stream, void** parameters,       \
     void** extra))                                                                                       \
  X(StreamCreateWithPriority, "cuStreamCreateWithPriority",                                               \
    (CuStream * stream, unsigned flags, int priority))                                                    \
  X(StreamDestroy, "cuStreamDestroy_v2", (CuStream stream))                                               \
  X(StreamSynchronize, "cuStreamSynchronize", (CuStream stream))                                          \
  X(StreamQuery, "cuStreamQuery", (CuStream stream))                                                      \
  X(StreamWriteValue64, "cuStreamWriteValue64_v2",                                                        \
    (CuStream stream, CuDevicePtr address, uint64_t value, unsigned flags))                               \
  X(StreamBeginCapture, "cuStreamBeginCapture_v2", (CuStream stream, int mode))                           \
  X(StreamEndCapture, "cuStreamEndCapture", (CuStream stream, CuGraph * graph))                           \
  X(GraphInstantiate, "cuGraphInstantiateWithFlags",                                                      \
    (CuGraphExec * executable, CuGraph graph, unsigned long long flags))                                  \
  X(GraphLaunch, "cuGraphLaunch", (CuGraphExec executable, CuStream stream))                              \
  X(GraphExecDestroy, "cuGraphExecDestroy", (CuGraphExec executable))                                     \
  X(GraphDestroy, "cuGraphDestroy", (CuGraph graph))                                                      \
  X(MemAlloc, "cuMemAlloc_v2", (CuDevicePtr * address, size_t bytes))                                     \
  X(MemFree, "cuMemFree_v2", (CuDevicePtr address))                                                       \
  X(MemsetD32, "cuMemsetD32_v2", (CuDevicePtr address, unsigned value, size_t count))                     \
  X(MemHostRegister, "cuMemHostRegister_v2", (void* memory, size_t bytes, unsigned flags))                \
  X(MemHostUnregister, "cuMemHostUnregister", (void* memory))                                             \
  X(MemHostGetDevicePointer, "cuMemHostGetDevicePointer_v2",                                              \
    (CuDevicePtr * address, void* memory, unsigned flags))                                                \
  X(MemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2",                                                              \
    (CuDevicePtr to, const void* from, size_t bytes, CuStream stream))                                    \
  X(MemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void* to, CuDevicePtr from, size_t bytes, CuStream stream))

// Any thread, as the driver allows. The library stays loaded for the life of the process.
struct CudaDriver {
#define VGPU_CUDA_MEMBER(member, symbol, parameters) CuResult(*member) parameters = nullptr;
  VGPU_CUDA_FUNCTIONS(VGPU_CUDA_MEMBER)
#undef VGPU_CUDA_MEMBER

  // Success, or "WHAT: CUDA_ERROR_NAME (its explanation)".
  Result<void> Check(CuResult result, const char* what) const;
};

// Loads and initialises the driver, and counts its devices. Errors say what is missing and what to do: no
// driver, a driver that lacks a function, one too old for the
// kernels (`kernels_version`, kernels.h), no device.
Result<CudaDriver> LoadCudaDriver(int kernels_version, const char* library = "libcuda.so.1");

}  // namespace vgpu::gpu

#endif  // VGPU_GPU_CUDA_DRIVER_H_
