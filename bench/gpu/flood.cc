// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include "bench/gpu/native.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kBlockNs = 50'000;
constexpr unsigned kBlocks = 132 * 8;  // more than any GPU of today has room for at once
constexpr unsigned kThreads = 1024;
constexpr int kAhead = 8;  // launches that wait in the stream

}  // namespace

struct Flood::Impl {
  explicit Impl(Lab* lab) : lab(lab), thread([this] { Work(); }) {}

  void Work() {
    if (!lab->device->MakeCurrent()) return;
    uint64_t ns = kBlockNs;
    void* parameters[] = {&ns};
    for (uint64_t i = 0; !stop; ++i) {
      lab->device->Launch(gpu::Kernel::kBusy, kBlocks, kThreads, lab->background->get(), parameters);
      if (i % kAhead == kAhead - 1) lab->driver.StreamSynchronize(lab->background->get());
    }
    lab->driver.StreamSynchronize(lab->background->get());
  }

  Lab* const lab;
  std::atomic<bool> stop{false};
  std::thread thread;
};

Flood::Flood(Lab* lab) : impl_(std::make_unique<Impl>(lab)) {}

Flood::~Flood() {
  impl_->stop = true;
  impl_->thread.join();
}

}  // namespace vgpu::bench
