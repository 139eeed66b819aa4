// SPDX-License-Identifier: Apache-2.0
// What tests of the fake driver share: the driver, devices on it, memory that they may use, launches.
#ifndef VGPU_GPU_FAKE_CUDA_FIXTURE_H_
#define VGPU_GPU_FAKE_CUDA_FIXTURE_H_

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "gpu/batch_abi.h"
#include "gpu/device.h"
#include "gpu/kernels.h"
#include "gpu/resident_abi.h"

namespace vgpu::gpu {

inline uint64_t LoadAcquire(const uint64_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
inline void StoreRelease(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
inline void Until(const std::function<bool()>& done) {
  while (!done()) sched_yield();
}

// Zeroed host memory.
class Pages {
 public:
  explicit Pages(size_t bytes)
      : bytes_(bytes),
        memory_(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    if (memory_ == MAP_FAILED) std::abort();
  }
  ~Pages() { munmap(memory_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  size_t bytes() const { return bytes_; }
  template <class T = char>
  T* at(size_t off = 0) const {
    return reinterpret_cast<T*>(static_cast<char*>(memory_) + off);
  }

 private:
  const size_t bytes_;
  void* const memory_;
};

// Zeroed host memory that the device uses.
class Shared {
 public:
  Shared(const Device& device, size_t bytes) : pages(bytes) {
    auto registered = HostRegistration::Create(device, pages.at(), bytes);
    EXPECT_TRUE(registered) << registered.error();
    if (registered) registration.emplace(std::move(*registered));
  }

  Pages pages;
  std::optional<HostRegistration> registration;
};

inline Stream MakeStream(const Device& device) {
  auto stream = Stream::Create(device, device.most_urgent());
  EXPECT_TRUE(stream) << stream.error();
  return std::move(*stream);
}

// The resident kernel on a stream of its own, until Leave or the end of this.
class ResidentKernel {
 public:
  static constexpr uint32_t kEntries = VGPU_RESIDENT_ENTRIES;

  explicit ResidentKernel(const Device& device)
      : device_(device), memory_(device, kBytes), stream_(MakeStream(device)) {
    ring()->slots[0] = slots();
    CuDevicePtr address = memory_.registration->address();
    void* parameters[] = {&address};
    EXPECT_EQ(device.Launch(Kernel::kResident, kEntries / kThreads, kThreads, stream_.get(), parameters),
              kCuSuccess);
  }
  ~ResidentKernel() { Leave(); }
  ResidentKernel(const ResidentKernel&) = delete;
  ResidentKernel& operator=(const ResidentKernel&) = delete;

  CuStream stream() const { return stream_.get(); }
  VgpuResidentRing* ring() const { return memory_.pages.at<VgpuResidentRing>(); }

  // Asks entry e for a sum in this lap; slot e is to have it, with the lap for its sequence.
  void Ask(uint32_t e, uint32_t lap, uint32_t a, uint32_t b) const {
    uint64_t* word = ring()->entries[e].word;
    const uint64_t high = uint64_t{lap} << 32;
    StoreRelease(word + VGPU_RESIDENT_TAG, high | lap);
    StoreRelease(word + VGPU_RESIDENT_TO, high | e);
    StoreRelease(word + VGPU_RESIDENT_B, high | b);
    StoreRelease(word + VGPU_RESIDENT_A, high | a);
  }
  void ExpectAnswer(uint32_t e, uint32_t lap, uint32_t sum) const {
    const uint64_t answer = uint64_t{lap} << 32 | sum;
    const uint64_t* done = slots() + e * VGPU_RESIDENT_SLOT_WORDS + 1;
    Until([&] { return LoadAcquire(done) >> 32 == lap && LoadAcquire(&ring()->finished[e]) >> 32 == lap; });
    EXPECT_EQ(LoadAcquire(done), answer);
    EXPECT_EQ(LoadAcquire(&ring()->finished[e]), answer);
  }
  void Leave() const { StoreRelease(&ring()->stop, 1); }
  CuResult Wait() const { return device_.driver().StreamSynchronize(stream_.get()); }

 private:
  static constexpr unsigned kThreads = 32;
  static constexpr size_t kSlotsOff = (sizeof(VgpuResidentRing) + 4095) / 4096 * 4096;
  static constexpr size_t kBytes = kSlotsOff + size_t{kEntries} * VGPU_RESIDENT_SLOT_WORDS * sizeof(uint64_t);

  uint64_t* slots() const { return memory_.pages.at<uint64_t>(kSlotsOff); }

  const Device& device_;
  const Shared memory_;
  const Stream stream_;
};

class FakeCudaTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("FAKE_CUDA_DEVICES", "8", 1);
    // Bazel test runs in the runfiles.
    auto driver = LoadCudaDriver(kKernelsVersion, "./gpu/fake/libfake_cuda.so");
    ASSERT_TRUE(driver) << driver.error();
    driver_ = *driver;
  }
  void TearDown() override {
    if (module_ != nullptr) driver_.ModuleUnload(module_);
    for (const char* name : {"FAKE_CUDA_DEVICES", "FAKE_CUDA_NAME", "FAKE_CUDA_REGISTER", "FAKE_CUDA_GAPS"}) {
      unsetenv(name);
    }
  }

  // A context that a test breaks stays broken: such a test has a device of its own.
  std::unique_ptr<Device> Open(int ordinal = 0) const {
    auto device = Device::Open(&driver_, ordinal);
    EXPECT_TRUE(device) << device.error();
    return device ? std::move(*device) : nullptr;
  }
  // The first `jobs` of it.
  CuResult LaunchBatch(const VgpuBatch& batch, unsigned jobs, CuStream stream, unsigned blocks = 1) {
    void* parameters[] = {const_cast<VgpuBatch*>(&batch)};
    return LaunchByName("VgpuBatchKernel", blocks, jobs, VGPU_BATCH_THREADS, stream, parameters);
  }
  CuResult LaunchByName(const char* name, unsigned blocks, unsigned jobs, unsigned threads, CuStream stream,
                        void** parameters) {
    if (module_ == nullptr) {
      const CuResult loaded = driver_.ModuleLoadData(&module_, kKernels);
      if (loaded != kCuSuccess) return loaded;
    }
    CuFunction function = nullptr;
    const CuResult found = driver_.ModuleGetFunction(&function, module_, name);
    if (found != kCuSuccess) return found;
    return driver_.LaunchKernel(function, blocks, jobs, 1, threads, 1, 1, 0, stream, parameters, nullptr);
  }

  CudaDriver driver_;

 private:
  CuModule module_ = nullptr;
};

}  // namespace vgpu::gpu

#endif  // VGPU_GPU_FAKE_CUDA_FIXTURE_H_
