// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>

#include "bench/gpu/native.h"

namespace vgpu::bench {
namespace {

using std::chrono::steady_clock;

constexpr uint64_t kBytesPerRound = 256ull << 20;  // enough to be past the cost of beginning

// GB/s of `bytes` moved by `copy`, which is waited for on both streams.
double Rate(Lab* lab, uint64_t bytes, const std::function<void()>& copy) {
  const uint64_t times = std::max<uint64_t>(1, kBytesPerRound / bytes);
  const auto begin = steady_clock::now();
  for (uint64_t i = 0; i < times; ++i) {
    copy();
    lab->Must(lab->driver.StreamSynchronize(lab->urgent->get()), "waiting for copies");
    lab->Must(lab->driver.StreamSynchronize(lab->background->get()), "waiting for copies");
  }
  const std::chrono::duration<double> gone = steady_clock::now() - begin;
  return static_cast<double>(bytes * times) / gone.count() / 1e9;
}

}  // namespace

CopyRates MeasureCopies(Lab* lab, uint64_t bytes, uint32_t rounds) {
  auto created = GpuMemory::Create(*lab->device, 3 * bytes);
  if (!created) throw std::runtime_error(created.error());
  char* host = (*created)->data();
  gpu::CuDevicePtr device = 0;
  const gpu::CudaDriver& driver = lab->driver;
  lab->Must(driver.MemAlloc(&device, 3 * bytes), "memory of the GPU");
  const auto in = [&](uint64_t times) {
    lab->Must(driver.MemcpyHtoDAsync(device, host, times * bytes, lab->urgent->get()), "a copy in");
  };
  const auto out = [&] {
    lab->Must(driver.MemcpyDtoHAsync(host + 2 * bytes, device + 2 * bytes, bytes, lab->background->get()), "a copy out");
  };
  CopyRates rates;
  for (uint32_t round = 0; round < rounds; ++round) {
    rates.in.push_back(Rate(lab, bytes, [&] { in(1); }));
    rates.out.push_back(Rate(lab, bytes, out));
    rates.two_in_one_out.push_back(Rate(lab, 3 * bytes, [&] {
      in(2);
      out();
    }));
  }
  driver.MemFree(device);
  return rates;
}

}  // namespace vgpu::bench
