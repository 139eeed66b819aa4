// SPDX-License-Identifier: Apache-2.0
// A GPU, two streams on it, and shared memory as guests have it, registered with it.
#ifndef VGPU_BENCH_SUBJECTS_NATIVE_LAB_H_
#define VGPU_BENCH_SUBJECTS_NATIVE_LAB_H_

#include <memory>
#include <stdexcept>
#include <string>

#include "base/mapping.h"
#include "base/result.h"
#include "gpu/device.h"

namespace vgpu::bench {

// A sealed memfd, populated, that the GPU uses where it lies.
class GpuMemory {
 public:
  static base::Result<std::unique_ptr<GpuMemory>> Create(const gpu::Device& device, uint64_t bytes);

  char* data() const { return mapping_.data(); }
  uint64_t bytes() const { return mapping_.bytes(); }
  // The GPU's address of a byte of it.
  gpu::CuDevicePtr at(uint64_t off) const { return registration_.address() + off; }

 private:
  GpuMemory(base::Mapping mapping, gpu::HostRegistration registration)
      : mapping_(std::move(mapping)), registration_(std::move(registration)) {}

  base::Mapping mapping_;
  gpu::HostRegistration registration_;
};

// The benchmark's own thread, and the one that makes a flood, each have the device current.
struct Lab {
  static base::Result<std::unique_ptr<Lab>> Open(int ordinal);

  gpu::CudaDriver driver;
  std::unique_ptr<gpu::Device> device;
  std::unique_ptr<gpu::Stream> urgent;
  std::unique_ptr<gpu::Stream> background;

  // A CUDA call of a benchmark that fails ends the benchmark.
  void Must(gpu::CuResult result, const char* what) const {
    if (const auto done = driver.Check(result, what); !done) throw std::runtime_error(done.error());
  }
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_NATIVE_LAB_H_
