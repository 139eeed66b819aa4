// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/native/lab.h"

#include "base/memfd.h"
#include "base/result.h"
#include "gpu/kernels.h"

namespace vgpu::bench {

base::Result<std::unique_ptr<GpuMemory>> GpuMemory::Create(const gpu::Device& device, uint64_t bytes) {
  auto memory = base::MakeOwnedMemory("vgpu-bench", bytes);
  if (!memory) return tl::make_unexpected(memory.error());
  auto registration = gpu::HostRegistration::Create(device, memory->mapping.data(), bytes);
  if (!registration) return tl::make_unexpected(registration.error());
  return std::unique_ptr<GpuMemory>(new GpuMemory(std::move(memory->mapping), std::move(*registration)));
}

base::Result<std::unique_ptr<Lab>> Lab::Open(int ordinal) {
  auto lab = std::make_unique<Lab>();
  auto driver = gpu::LoadCudaDriver(gpu::kKernelsVersion);
  if (!driver) return tl::make_unexpected(driver.error());
  lab->driver = *driver;
  auto device = gpu::Device::Open(&lab->driver, ordinal);
  if (!device) return tl::make_unexpected(device.error());
  lab->device = std::move(*device);
  auto urgent = gpu::Stream::Create(*lab->device, lab->device->most_urgent());
  if (!urgent) return tl::make_unexpected(urgent.error());
  lab->urgent = std::make_unique<gpu::Stream>(std::move(*urgent));
  auto background = gpu::Stream::Create(*lab->device, lab->device->least_urgent());
  if (!background) return tl::make_unexpected(background.error());
  lab->background = std::make_unique<gpu::Stream>(std::move(*background));
  return lab;
}

}  // namespace vgpu::bench
