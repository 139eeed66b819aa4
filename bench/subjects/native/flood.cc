// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kBlockNs = 50'000;
constexpr unsigned kBlocks = 132 * 8;  // more than any GPU of today has room for at once
constexpr unsigned kThreads = 1024;
constexpr int kAhead = 8;  // launches that wait in the stream

}  // namespace

struct Flood::Impl {
  Impl(Lab* lab, std::atomic<uint64_t>* launches)
      : lab(lab), launches(launches), thread([this] { Work(); }) {}

  void Work() {
    if (!lab->device->MakeCurrent()) return;
    uint64_t ns = kBlockNs;
    void* parameters[] = {&ns};
    while (!stop) {
      bool done = true;
      for (int i = 0; i < kAhead; ++i) {
        done &= lab->device->Launch(gpu::Kernel::kBusy, kBlocks, kThreads, lab->background->get(),
                                    parameters) == gpu::kCuSuccess;
      }
      done &= lab->driver.StreamSynchronize(lab->background->get()) == gpu::kCuSuccess;
      if (done && launches != nullptr) *launches += kAhead;
    }
  }

  Lab* const lab;
  std::atomic<uint64_t>* const launches;
  std::atomic<bool> stop{false};
  std::thread thread;
};

Flood::Flood(Lab* lab, std::atomic<uint64_t>* launches) : impl_(std::make_unique<Impl>(lab, launches)) {}

Flood::~Flood() {
  impl_->stop = true;
  impl_->thread.join();
}

}  // namespace vgpu::bench
