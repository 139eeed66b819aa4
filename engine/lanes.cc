// SPDX-License-Identifier: Apache-2.0
#include "engine/lanes.h"

#include <algorithm>
#include <cassert>

namespace vgpu::engine {
namespace {

// Two blocks for each processor of an H100; more do not read the bus any faster.
constexpr uint64_t kBlocksMax = 264;
// One leaves the resident kernel its latency: it moves 7.6 GB/s. Four move 24, and half of them shows in the
// kernel's p99.
constexpr uint64_t kBlocksThrottled = 1;
// Jobs of up to so many blocks share launches.
constexpr uint64_t kBlocksTogether = 16;

uint64_t Blocks(const Job& job) {
  const uint64_t wanted = (job.bytes + VGPU_BATCH_BLOCK_BYTES - 1) / VGPU_BATCH_BLOCK_BYTES;
  return std::clamp<uint64_t>(wanted, 1, (job.flags & kJobThrottled) != 0 ? kBlocksThrottled : kBlocksMax);
}

bool Small(const Job& job) { return job.flags == 0 && Blocks(job) <= kBlocksTogether; }

}  // namespace

gpu::Result<std::unique_ptr<Lanes>> Lanes::Create(const gpu::Device* device) {
  std::unique_ptr<Lanes> lanes(new Lanes(device));
  lanes->lanes_.reserve(kClasses * kLanesPerClass);
  const gpu::CudaDriver& driver = device->driver();
  for (uint32_t priority = 0; priority < kClasses; ++priority) {
    // The most urgent priority is the resident kernel's.
    const int urgency = std::max(device->least_urgent() - static_cast<int>(priority), device->most_urgent());
    for (uint32_t i = 0; i < kLanesPerClass; ++i) {
      auto stream = gpu::Stream::Create(*device, urgency);
      if (!stream) return tl::make_unexpected(stream.error());
      gpu::CuDevicePtr staging = 0;
      const auto memory = driver.Check(driver.MemAlloc(&staging, 3 * kCopyBytesMax), "memory of the GPU");
      if (!memory) return tl::make_unexpected(memory.error());
      lanes->lanes_.push_back({std::move(*stream), staging});
    }
  }
  return lanes;
}

Lanes::~Lanes() {
  for (const Lane& lane : lanes_) device_->driver().MemFree(lane.staging);
}

gpu::CuResult Lanes::WarmUp(uint64_t* host) {
  const gpu::CudaDriver& driver = device_->driver();
  VgpuBatch batch{};
  batch.jobs[0].kind = VGPU_JOB_VECTORS;  // of no elements
  for (const Lane& lane : lanes_) {
    const gpu::CuStream stream = lane.stream.get();
    for (const gpu::CuResult result :
         {driver.MemcpyHtoDAsync(lane.staging, host, sizeof *host, stream), LaunchBatch(batch, 1, 1, stream),
          driver.StreamWriteValue64(stream, reinterpret_cast<gpu::CuDevicePtr>(host), 0, 0),
          driver.MemcpyDtoHAsync(host, lane.staging, sizeof *host, stream),
          driver.StreamSynchronize(stream)}) {
      if (result != gpu::kCuSuccess) return result;
    }
  }
  return gpu::kCuSuccess;
}

bool Lanes::Together(const Job& first, const Job& other) {
  return first.priority == other.priority && Small(first) && Small(other);
}

// The throttled jobs of all classes run one after the other: side by side they would take more of the bus.
Lanes::Lane& Lanes::LaneFor(const Job& job) {
  if ((job.flags & kJobThrottled) != 0) return lanes_[0];
  const uint32_t priority = std::min(job.priority, kClasses - 1);
  return lanes_[priority * kLanesPerClass + turn_[priority]++ % kLanesPerClass];
}

gpu::CuResult Lanes::Start(std::span<const Job> jobs) {
  assert(!jobs.empty() && jobs.size() <= VGPU_BATCH_JOBS);
  Lane& lane = LaneFor(jobs[0]);
  lane.busy = true;
  return (jobs[0].flags & kJobCopies) != 0 ? Copy(&lane, jobs[0]) : Batch(&lane, jobs);
}

gpu::CuResult Lanes::Batch(Lane* lane, std::span<const Job> jobs) {
  VgpuBatch batch;
  uint64_t blocks = 1;
  for (size_t i = 0; i < jobs.size(); ++i) {
    batch.jobs[i] = jobs[i].gpu;
    blocks = std::max(blocks, Blocks(jobs[i]));
  }
  return LaunchBatch(batch, static_cast<unsigned>(blocks), jobs.size(), lane->stream.get());
}

gpu::CuResult Lanes::LaunchBatch(const VgpuBatch& batch, unsigned blocks, size_t jobs, gpu::CuStream stream) {
  void* parameters[] = {const_cast<VgpuBatch*>(&batch)};
  return device_->Launch(gpu::Kernel::kBatch, {blocks, static_cast<unsigned>(jobs)}, VGPU_BATCH_THREADS,
                         stream, parameters);
}

// In, sum, out, and the completion word, which waits for all before it. Other lanes' copies in run beside
// this one's out.
gpu::CuResult Lanes::Copy(Lane* lane, const Job& job) {
  assert(job.bytes <= kCopyBytesMax);
  const gpu::CudaDriver& driver = device_->driver();
  const gpu::CuStream stream = lane->stream.get();
  const gpu::CuDevicePtr a = lane->staging, b = a + kCopyBytesMax, c = b + kCopyBytesMax;
  VgpuBatch batch;
  batch.jobs[0] = job.gpu;
  batch.jobs[0].a = a;
  batch.jobs[0].b = b;
  batch.jobs[0].c = c;
  batch.jobs[0].done = nullptr;
  gpu::CuResult result =
      driver.MemcpyHtoDAsync(a, reinterpret_cast<const void*>(job.gpu.a), job.bytes, stream);
  if (result != gpu::kCuSuccess) return result;
  result = driver.MemcpyHtoDAsync(b, reinterpret_cast<const void*>(job.gpu.b), job.bytes, stream);
  if (result != gpu::kCuSuccess) return result;
  result = LaunchBatch(batch, static_cast<unsigned>(Blocks(job)), 1, stream);
  if (result != gpu::kCuSuccess) return result;
  result = driver.MemcpyDtoHAsync(reinterpret_cast<void*>(job.gpu.c), c, job.bytes, stream);
  if (result != gpu::kCuSuccess) return result;
  return driver.StreamWriteValue64(stream, reinterpret_cast<gpu::CuDevicePtr>(job.gpu.done),
                                   uint64_t{job.gpu.seq} << 32, 0);
}

gpu::CuResult Lanes::Busy(bool* busy) {
  *busy = false;
  for (Lane& lane : lanes_) {
    if (!lane.busy) continue;
    const gpu::CuResult result = device_->driver().StreamQuery(lane.stream.get());
    if (result != gpu::kCuSuccess && result != gpu::kCuNotReady) return result;
    lane.busy = result == gpu::kCuNotReady;
    *busy |= lane.busy;
  }
  return gpu::kCuSuccess;
}

}  // namespace vgpu::engine
