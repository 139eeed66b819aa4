// SPDX-License-Identifier: Apache-2.0
// One GPU with our kernels loaded, and what belongs to it: streams, host memory that it may use. Everything
// is made before the first request; only Launch is for the request path.
#ifndef VGPU_GPU_DEVICE_H_
#define VGPU_GPU_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "gpu/cuda_driver.h"

namespace vgpu::gpu {

enum class Kernel : uint8_t { kResident, kBatch, kNativeAdd, kBusy };
inline constexpr size_t kKernelCount = 4;

// Blocks of a launch.
struct Grid {
  Grid(unsigned columns, unsigned rows = 1) : x(columns), y(rows) {}
  unsigned x;
  unsigned y;
};

// Any thread that has called MakeCurrent.
class Device {
 public:
  // Needs kKernelsBytes != 0. `driver` outlives the device.
  static Result<std::unique_ptr<Device>> Open(const CudaDriver* driver, int ordinal);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Result<void> MakeCurrent() const;
  const CudaDriver& driver() const { return *driver_; }
  const std::string& name() const { return name_; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  // CUDA's priorities: smaller is more urgent.
  int least_urgent() const { return least_urgent_; }
  int most_urgent() const { return most_urgent_; }

  // Asynchronous. `parameters` points at each parameter.
  CuResult Launch(Kernel kernel, Grid grid, unsigned threads, CuStream stream, void** parameters) const;

 private:
  Device(const CudaDriver* driver, CuDevice device) : driver_(driver), device_(device) {}

  const CudaDriver* const driver_;
  const CuDevice device_;
  CuContext context_ = nullptr;
  CuModule module_ = nullptr;
  CuFunction functions_[kKernelCount] = {};
  std::string name_;
  size_t memory_bytes_ = 0;
  int least_urgent_ = 0;
  int most_urgent_ = 0;
};

class Stream {
 public:
  static Result<Stream> Create(const Device& device, int priority);
  Stream(Stream&& other) noexcept : device_(other.device_), stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&&) = delete;
  ~Stream();

  CuStream get() const { return stream_; }

 private:
  Stream(const Device* device, CuStream stream) : device_(device), stream_(stream) {}

  const Device* device_;
  CuStream stream_;
};

// Host memory, page-aligned, that the GPU reads and writes where it lies. Takes about 55 us a MiB to make.
// The memory outlives it; nothing that uses it may be under way at its end.
class HostRegistration {
 public:
  static Result<HostRegistration> Create(const Device& device, void* memory, size_t bytes);
  HostRegistration(HostRegistration&& other) noexcept
      : device_(other.device_), memory_(std::exchange(other.memory_, nullptr)), address_(other.address_) {}
  HostRegistration& operator=(HostRegistration&&) = delete;
  ~HostRegistration();

  // Of the first byte, for kernels.
  CuDevicePtr address() const { return address_; }

 private:
  HostRegistration(const Device* device, void* memory, CuDevicePtr address)
      : device_(device), memory_(memory), address_(address) {}

  const Device* device_;
  void* memory_;
  CuDevicePtr address_;
};

}  // namespace vgpu::gpu

#endif  // VGPU_GPU_DEVICE_H_
