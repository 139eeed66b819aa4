// SPDX-License-Identifier: Apache-2.0
#include "gpu/device.h"

#include <array>
#include <cassert>

#include "gpu/kernels.h"

namespace vgpu::gpu {
namespace {

constexpr std::array<const char*, kKernelCount> kNames = {"VgpuResident", "VgpuBatchKernel", "VgpuNativeAdd",
                                                          "VgpuBusy"};

}  // namespace

Result<std::unique_ptr<Device>> Device::Open(const CudaDriver* driver, int ordinal) {
  if (kKernelsBytes == 0) {
    return tl::make_unexpected("built without the CUDA toolkit: there is no GPU code in this program");
  }
  CuDevice handle = 0;
  if (const auto got = driver->Check(driver->DeviceGet(&handle, ordinal), "opening the GPU"); !got) {
    return tl::make_unexpected(got.error());
  }
  std::unique_ptr<Device> device(new Device(driver, handle));
  std::array<char, 96> name{};
  const auto opened = [&]() -> Result<void> {
    const auto step = [driver](CuResult result, const char* what) { return driver->Check(result, what); };
    return step(driver->DeviceGetName(name.data(), name.size(), handle), "the GPU's name")
        .and_then(
            [&] { return step(driver->DeviceTotalMem(&device->memory_bytes_, handle), "the GPU's memory"); })
        .and_then(
            [&] { return step(driver->PrimaryCtxSetFlags(handle, kCuCtxScheduleSpin), "the GPU's flags"); })
        .and_then([&] {
          return step(driver->PrimaryCtxRetain(&device->context_, handle),
                      "a context on the GPU (is it in exclusive mode, and in use?)");
        })
        .and_then([&] { return device->MakeCurrent(); })
        .and_then([&] {
          return step(driver->CtxGetStreamPriorityRange(&device->least_urgent_, &device->most_urgent_),
                      "the priorities of streams");
        })
        .and_then(
            [&] { return step(driver->ModuleLoadData(&device->module_, kKernels), "loading the kernels"); });
  }();
  if (!opened) return tl::make_unexpected(opened.error());
  for (size_t i = 0; i < kKernelCount; ++i) {
    const auto found = driver->Check(
        driver->ModuleGetFunction(&device->functions_[i], device->module_, kNames[i]), kNames[i]);
    if (!found) return tl::make_unexpected(found.error());
  }
  device->name_ = name.data();
  return device;
}

Device::~Device() {
  if (module_ != nullptr) driver_->ModuleUnload(module_);
  if (context_ != nullptr) driver_->PrimaryCtxRelease(device_);
}

Result<void> Device::MakeCurrent() const {
  return driver_->Check(driver_->CtxSetCurrent(context_), "entering the GPU's context");
}

CuResult Device::Launch(Kernel kernel, Grid grid, unsigned threads, CuStream stream,
                        void** parameters) const {
  return driver_->LaunchKernel(functions_[static_cast<size_t>(kernel)], grid.x, grid.y, 1, threads, 1, 1, 0,
                               stream, parameters, nullptr);
}

Result<Stream> Stream::Create(const Device& device, int priority) {
  CuStream stream = nullptr;
  const CudaDriver& driver = device.driver();
  return driver
      .Check(driver.StreamCreateWithPriority(&stream, kCuStreamNonBlocking, priority), "creating a stream")
      .map([&] { return Stream(&device, stream); });
}

Stream::~Stream() {
  if (stream_ != nullptr) device_->driver().StreamDestroy(stream_);
}

Result<HostRegistration> HostRegistration::Create(const Device& device, void* memory, size_t bytes) {
  const CudaDriver& driver = device.driver();
  const auto registered =
      driver.Check(driver.MemHostRegister(memory, bytes, kCuHostRegisterPortable | kCuHostRegisterMapped),
                   "registering host memory");
  if (!registered) return tl::make_unexpected(registered.error());
  HostRegistration registration(&device, memory, 0);  // unregisters, should the next step fail
  const auto mapped = driver.Check(driver.MemHostGetDevicePointer(&registration.address_, memory, 0),
                                   "the GPU's address of host memory");
  if (!mapped) return tl::make_unexpected(mapped.error());
  return registration;
}

HostRegistration::~HostRegistration() {
  if (memory_ != nullptr) device_->driver().MemHostUnregister(memory_);
}

}  // namespace vgpu::gpu
