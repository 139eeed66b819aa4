// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

using std::chrono::steady_clock;

constexpr uint64_t kBytesPerRound = 512ull << 20;  // enough to be past the cost of beginning

}  // namespace

// Host memory: two operands and a sum. The streams are independent: nothing but bytes is measured.
struct Copies::Place {
  std::unique_ptr<GpuMemory> host;
  gpu::CuDevicePtr device = 0;
  gpu::Stream in;
  gpu::Stream out;
};

Copies::Copies(Lab* lab, uint64_t bytes, uint32_t outstanding) : lab_(lab), bytes_(bytes) {
  for (uint32_t i = 0; i < outstanding; ++i) {
    auto host = GpuMemory::Create(*lab->device, 3 * bytes);
    auto in = gpu::Stream::Create(*lab->device, lab->device->least_urgent());
    auto out = gpu::Stream::Create(*lab->device, lab->device->least_urgent());
    if (!host) throw std::runtime_error(host.error());
    if (!in || !out) throw std::runtime_error("no more streams");
    places_.push_back({std::move(*host), 0, std::move(*in), std::move(*out)});
    lab->Must(lab->driver.MemAlloc(&places_.back().device, 3 * bytes), "memory of the GPU");
  }
}

Copies::~Copies() {
  for (const Place& place : places_) lab_->driver.MemFree(place.device);
}

void Copies::Wait(const Place& place) {
  lab_->Must(lab_->driver.StreamSynchronize(place.in.get()), "waiting for copies");
  lab_->Must(lab_->driver.StreamSynchronize(place.out.get()), "waiting for copies");
}

// Each request moves so many times `bytes_` in and out.
double Copies::Rate(uint64_t in, uint64_t out) {
  const gpu::CudaDriver& driver = lab_->driver;
  const uint64_t times = std::max<uint64_t>(3 * places_.size(), kBytesPerRound / ((in + out) * bytes_));
  const auto begin = steady_clock::now();
  for (uint64_t i = 0; i < times; ++i) {
    const Place& place = places_[i % places_.size()];
    Wait(place);
    char* host = place.host->data();
    if (in != 0)
      lab_->Must(driver.MemcpyHtoDAsync(place.device, host, in * bytes_, place.in.get()), "a copy in");
    if (out == 0) continue;
    lab_->Must(driver.MemcpyDtoHAsync(host + 2 * bytes_, place.device + 2 * bytes_, bytes_, place.out.get()),
               "a copy out");
  }
  for (const Place& place : places_) Wait(place);
  const std::chrono::duration<double> gone = steady_clock::now() - begin;
  return static_cast<double>((in + out) * bytes_ * times) / gone.count() / 1e9;
}

double Copies::In() { return Rate(1, 0); }
double Copies::Out() { return Rate(0, 1); }
double Copies::TwoInOneOut() { return Rate(2, 1); }

}  // namespace vgpu::bench
