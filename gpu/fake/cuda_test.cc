// SPDX-License-Identifier: Apache-2.0
// The fake driver does as the real one: order in streams, what blocks, and errors that stay.
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "api/vector.h"
#include "gpu/fake/cuda_fixture.h"
#include "operations/table.h"

namespace vgpu::gpu {
namespace {

constexpr CuResult kInvalidValue = 1;
constexpr CuResult kInvalidContext = 201;
constexpr CuResult kInvalidHandle = 400;
constexpr CuResult kNotFound = 500;
constexpr CuResult kIllegalAddress = 700;
constexpr CuResult kAlreadyRegistered = 712;
constexpr CuResult kNotRegistered = 713;
constexpr CuResult kMisalignedAddress = 716;

// Devices whose contexts tests break.
enum Doomed { kFaultStays = 1, kFaultEndsResident, kHang, kBesideTheOther, kUnregistered, kMisaligned };

VgpuBatch OneJob(uint32_t kind) {
  VgpuBatch batch{};
  batch.jobs[0].kind = kind;
  return batch;
}

class FakeCudaDriverTest : public FakeCudaTest {
 protected:
  // Launches a job that breaks the context, and waits for that.
  void Break() {
    ASSERT_EQ(LaunchBatch(OneJob(VGPU_JOB_FAULT), 1, nullptr), kCuSuccess);
    ASSERT_EQ(driver_.StreamSynchronize(nullptr), kIllegalAddress);
  }
};

TEST_F(FakeCudaDriverTest, Devices_HaveNames) {
  EXPECT_EQ(Open(0)->name(), "Fake GPU 0");
  EXPECT_EQ(Open(3)->name(), "Fake GPU 3");
  setenv("FAKE_CUDA_NAME", "H100", 1);
  EXPECT_EQ(Open(1)->name(), "H100 1");
  const auto missing = Device::Open(&driver_, 8);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().find("CUDA_ERROR_INVALID_DEVICE"), std::string::npos) << missing.error();
}

TEST_F(FakeCudaDriverTest, Errors_HaveNames) {
  for (const CuResult error : {0, 1, 100, 600, 700, 712, 713, 801, 999}) {
    const char* name = nullptr;
    const char* text = nullptr;
    EXPECT_EQ(driver_.GetErrorName(error, &name), kCuSuccess) << error;
    EXPECT_EQ(driver_.GetErrorString(error, &text), kCuSuccess) << error;
    EXPECT_TRUE(name != nullptr && text != nullptr) << error;
  }
}

TEST_F(FakeCudaDriverTest, UnknownKernel_IsNotFound) {
  const auto device = Open();
  EXPECT_EQ(LaunchByName("VgpuNoSuchKernel", 1, 1, 32, nullptr, nullptr), kNotFound);
}

TEST_F(FakeCudaDriverTest, Registration_OncePerPage) {
  const auto device = Open();
  const Pages pages(4 * 4096);
  EXPECT_EQ(driver_.MemHostRegister(pages.at(8), 4096, 0), kInvalidValue);
  EXPECT_EQ(driver_.MemHostRegister(pages.at(), 0, 0), kInvalidValue);
  ASSERT_EQ(driver_.MemHostRegister(pages.at(4096), 4097, 0), kCuSuccess);  // two pages
  EXPECT_EQ(driver_.MemHostRegister(pages.at(), 2 * 4096, 0), kAlreadyRegistered);
  EXPECT_EQ(driver_.MemHostRegister(pages.at(2 * 4096), 4096, 0), kAlreadyRegistered);
  EXPECT_EQ(driver_.MemHostRegister(pages.at(), 4096, 0), kCuSuccess);
  EXPECT_EQ(driver_.MemHostRegister(pages.at(3 * 4096), 4096, 0), kCuSuccess);
  EXPECT_EQ(driver_.MemHostUnregister(pages.at(2 * 4096)), kNotRegistered);
  for (const size_t off : {0, 4096, 3 * 4096})
    EXPECT_EQ(driver_.MemHostUnregister(pages.at(off)), kCuSuccess) << off;
  EXPECT_EQ(driver_.MemHostUnregister(pages.at()), kNotRegistered);
}

TEST_F(FakeCudaDriverTest, DeviceAddress_IsTheHosts_WhileRegistered) {
  const auto device = Open();
  const Pages pages(4096);
  CuDevicePtr address = 0;
  EXPECT_EQ(driver_.MemHostGetDevicePointer(&address, pages.at(), 0), kInvalidValue);
  const auto registered = HostRegistration::Create(*device, pages.at(), pages.bytes());
  ASSERT_TRUE(registered) << registered.error();
  EXPECT_EQ(registered->address(), reinterpret_cast<uint64_t>(pages.at()));
}

// Of whole pages, and two that touch are as good as one.
TEST_F(FakeCudaDriverTest, Reach_EndsWithTheRegistrations) {
  const auto device = Open();
  const Pages pages(3 * 4096);
  const std::vector<char> from(pages.bytes());
  ASSERT_EQ(driver_.MemHostRegister(pages.at(), 1, 0), kCuSuccess);
  const auto copy = [&](size_t off, size_t bytes) {
    return driver_.MemcpyHtoDAsync(reinterpret_cast<uint64_t>(pages.at(off)), from.data(), bytes, nullptr);
  };
  EXPECT_EQ(copy(0, 4096), kCuSuccess);
  EXPECT_EQ(copy(4095, 2), kInvalidValue);
  ASSERT_EQ(driver_.MemHostRegister(pages.at(4096), 4096, 0), kCuSuccess);
  EXPECT_EQ(copy(4095, 2), kCuSuccess);
  EXPECT_EQ(copy(0, 2 * 4096), kCuSuccess);
  EXPECT_EQ(copy(0, 2 * 4096 + 1), kInvalidValue);
  EXPECT_EQ(driver_.MemHostUnregister(pages.at()), kCuSuccess);
  EXPECT_EQ(copy(4095, 2), kInvalidValue);
  EXPECT_EQ(driver_.MemHostUnregister(pages.at(4096)), kCuSuccess);
}

TEST_F(FakeCudaDriverTest, Registration_FailsAsAsked) {
  const auto device = Open();
  setenv("FAKE_CUDA_REGISTER", "999", 1);
  const Pages pages(4096);
  const auto registered = HostRegistration::Create(*device, pages.at(), pages.bytes());
  ASSERT_FALSE(registered);
  EXPECT_NE(registered.error().find("CUDA_ERROR_UNKNOWN (999"), std::string::npos) << registered.error();
}

TEST_F(FakeCudaDriverTest, ThreadWithoutContext_IsRefused) {
  const auto device = Open();
  const Pages pages(4096);
  std::thread([&] {
    CuDevicePtr address = 0;
    EXPECT_EQ(driver_.MemAlloc(&address, 64), kInvalidContext);
    EXPECT_EQ(driver_.MemHostRegister(pages.at(), 4096, 0), kInvalidContext);
    EXPECT_EQ(driver_.StreamQuery(nullptr), kInvalidContext);
    EXPECT_TRUE(device->MakeCurrent());
    EXPECT_EQ(driver_.StreamQuery(nullptr), kCuSuccess);
  }).join();
}

TEST_F(FakeCudaDriverTest, StreamOfAnotherDevice_IsRefused) {
  const auto one = Open(0);
  const Stream stream = MakeStream(*one);
  const auto other = Open(7);
  EXPECT_EQ(LaunchBatch(OneJob(VGPU_JOB_ADD), 1, stream.get()), kInvalidHandle);
}

// In, summed in place, out, then the word that says so.
TEST_F(FakeCudaDriverTest, Stream_KeepsItsOrder) {
  constexpr uint64_t kCount = 100'000;
  constexpr size_t kBytes = kCount * sizeof(uint64_t);
  const auto device = Open();
  const Stream stream = MakeStream(*device);
  const Shared memory(*device, kBytes + 4096);
  uint64_t* const vector = memory.pages.at<uint64_t>();
  uint64_t* const word = memory.pages.at<uint64_t>((kBytes + 63) / 64 * 64);
  for (uint64_t i = 0; i < kCount; ++i) vector[i] = i;
  CuDevicePtr own = 0;
  ASSERT_EQ(driver_.MemAlloc(&own, kBytes), kCuSuccess);
  VgpuBatch batch = OneJob(VectorJob<operations::VectorAdd>(VGPU_TYPE_I64));
  batch.jobs[0].a = batch.jobs[0].b = batch.jobs[0].c = own;
  batch.jobs[0].count = kCount;
  for (uint64_t round = 1; round <= 10; ++round) {
    ASSERT_EQ(driver_.MemcpyHtoDAsync(own, vector, kBytes, stream.get()), kCuSuccess);
    ASSERT_EQ(LaunchBatch(batch, 1, stream.get()), kCuSuccess);
    ASSERT_EQ(driver_.MemcpyDtoHAsync(vector, own, kBytes, stream.get()), kCuSuccess);
    ASSERT_EQ(driver_.StreamWriteValue64(stream.get(), reinterpret_cast<uint64_t>(word), round, 0),
              kCuSuccess);
    Until([&] { return LoadAcquire(word) == round; });
    for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(vector[i], i << round) << i;
  }
  EXPECT_EQ(driver_.MemFree(own), kCuSuccess);
  EXPECT_EQ(driver_.MemFree(own), kInvalidValue);
}

TEST_F(FakeCudaDriverTest, Stream_WaitsBehindAKernel_AndParametersAreThoseOfTheLaunch) {
  const auto device = Open();
  const ResidentKernel kernel(*device);
  const Shared memory(*device, 4096);
  uint64_t* const words = memory.pages.at<uint64_t>();
  VgpuBatch batch = OneJob(VGPU_JOB_ADD);
  batch.jobs[0].a = uint64_t{4} << 32 | 3;
  batch.jobs[0].b = 5;
  batch.jobs[0].c = reinterpret_cast<uint64_t>(words);
  ASSERT_EQ(LaunchBatch(batch, 1, kernel.stream()), kCuSuccess);
  batch = OneJob(VGPU_JOB_FAULT);
  ASSERT_EQ(driver_.StreamWriteValue64(kernel.stream(), reinterpret_cast<uint64_t>(words + 1), 9, 0),
            kCuSuccess);
  kernel.Ask(0, 1, 1, 1);
  kernel.ExpectAnswer(0, 1, 2);
  EXPECT_EQ(driver_.StreamQuery(kernel.stream()), kCuNotReady);
  EXPECT_EQ(LoadAcquire(words), 0u);
  EXPECT_EQ(LoadAcquire(words + 1), 0u);
  kernel.Leave();
  ASSERT_EQ(kernel.Wait(), kCuSuccess);
  EXPECT_EQ(LoadAcquire(words), uint64_t{5} << 32 | 7);
  EXPECT_EQ(LoadAcquire(words + 1), 9u);
}

TEST_F(FakeCudaDriverTest, DestroyedStream_DoesWhatIsInIt) {
  const auto device = Open();
  const Shared memory(*device, 4096);
  uint64_t* const word = memory.pages.at<uint64_t>();
  {
    const Stream stream = MakeStream(*device);
    for (uint64_t i = 1; i <= 100; ++i) {
      ASSERT_EQ(driver_.StreamWriteValue64(stream.get(), reinterpret_cast<uint64_t>(word), i, 0), kCuSuccess);
    }
  }
  Until([&] { return LoadAcquire(word) == 100; });
}

// What takes something away from kernels does not come back beside one that stays, whatever it takes.
class WaitingCallTest : public FakeCudaDriverTest {
 protected:
  // `call`, on another thread, while a resident kernel answers.
  void ExpectWaits(const Device& device, const std::function<CuResult()>& call) {
    const ResidentKernel kernel(device);
    std::atomic<bool> begun{false};
    std::atomic<bool> leaving{false};
    std::thread caller([&] {
      ASSERT_TRUE(device.MakeCurrent());
      begun = true;
      EXPECT_EQ(call(), kCuSuccess);
      EXPECT_TRUE(leaving);
    });
    Until([&] { return begun.load(); });
    for (uint32_t lap = 1; lap <= 1000; ++lap) {  // time for a call that does not wait
      kernel.Ask(lap % 2, (lap + 1) / 2, lap, 1);
      kernel.ExpectAnswer(lap % 2, (lap + 1) / 2, lap + 1);
    }
    leaving = true;
    kernel.Leave();
    caller.join();
    EXPECT_EQ(kernel.Wait(), kCuSuccess);
  }
};

TEST_F(WaitingCallTest, Unregister) {
  const auto device = Open();
  const Pages pages(4096);
  ASSERT_EQ(driver_.MemHostRegister(pages.at(), 4096, 0), kCuSuccess);
  ExpectWaits(*device, [&] { return driver_.MemHostUnregister(pages.at()); });
}

TEST_F(WaitingCallTest, Synchronize) {
  const auto device = Open();
  ExpectWaits(*device, [&] { return driver_.CtxSynchronize(); });
}

TEST_F(WaitingCallTest, Free) {
  const auto device = Open();
  CuDevicePtr address = 0;
  ASSERT_EQ(driver_.MemAlloc(&address, 64), kCuSuccess);
  ExpectWaits(*device, [&] { return driver_.MemFree(address); });
}

TEST_F(WaitingCallTest, Unload) {
  const auto device = Open();
  CuModule module = nullptr;
  ASSERT_EQ(driver_.ModuleLoadData(&module, kKernels), kCuSuccess);
  ExpectWaits(*device, [&] { return driver_.ModuleUnload(module); });
}

TEST_F(FakeCudaDriverTest, Registering_DoesNotWait) {
  const auto device = Open();
  const ResidentKernel kernel(*device);
  const Pages pages(4096);
  CuDevicePtr address = 0;
  EXPECT_EQ(driver_.MemHostRegister(pages.at(), 4096, 0), kCuSuccess);
  EXPECT_EQ(driver_.MemAlloc(&address, 64), kCuSuccess);
  EXPECT_EQ(driver_.StreamQuery(kernel.stream()), kCuNotReady);
  kernel.Leave();
  EXPECT_EQ(driver_.MemFree(address), kCuSuccess);
  EXPECT_EQ(driver_.MemHostUnregister(pages.at()), kCuSuccess);
}

TEST_F(FakeCudaDriverTest, AfterAFault_EveryCallSaysSo) {
  const auto device = Open(kFaultStays);
  const Stream stream = MakeStream(*device);
  const Pages pages(2 * 4096);
  CuDevicePtr own = 0;
  ASSERT_EQ(driver_.MemHostRegister(pages.at(), 4096, 0), kCuSuccess);
  ASSERT_EQ(driver_.MemAlloc(&own, 4096), kCuSuccess);
  Break();
  for (int twice = 0; twice < 2; ++twice) {
    CuDevicePtr address = 0;
    CuStream created = nullptr;
    CuModule module = nullptr;
    const uint64_t word = reinterpret_cast<uint64_t>(pages.at());
    EXPECT_EQ(LaunchBatch(OneJob(VGPU_JOB_ADD), 1, stream.get()), kIllegalAddress);
    EXPECT_EQ(driver_.MemcpyHtoDAsync(own, pages.at(), 64, stream.get()), kIllegalAddress);
    EXPECT_EQ(driver_.MemcpyDtoHAsync(pages.at(), own, 64, stream.get()), kIllegalAddress);
    EXPECT_EQ(driver_.StreamWriteValue64(stream.get(), word, 1, 0), kIllegalAddress);
    EXPECT_EQ(driver_.StreamQuery(stream.get()), kIllegalAddress);
    EXPECT_EQ(driver_.StreamSynchronize(stream.get()), kIllegalAddress);
    EXPECT_EQ(driver_.StreamCreateWithPriority(&created, 0, 0), kIllegalAddress);
    EXPECT_EQ(driver_.CtxSynchronize(), kIllegalAddress);
    EXPECT_EQ(driver_.MemAlloc(&address, 64), kIllegalAddress);
    EXPECT_EQ(driver_.MemHostRegister(pages.at(4096), 4096, 0), kIllegalAddress);
    EXPECT_EQ(driver_.MemHostGetDevicePointer(&address, pages.at(), 0), kIllegalAddress);
    EXPECT_EQ(driver_.ModuleLoadData(&module, kKernels), kIllegalAddress);
  }
  EXPECT_EQ(driver_.MemFree(own), kIllegalAddress);
  EXPECT_EQ(driver_.MemHostUnregister(pages.at()), kIllegalAddress);
}

TEST_F(FakeCudaDriverTest, Fault_EndsTheResidentKernel_AndDropsWhatIsQueued) {
  const auto device = Open(kFaultEndsResident);
  const ResidentKernel kernel(*device);
  const Shared memory(*device, 4096);
  uint64_t* const word = memory.pages.at<uint64_t>();
  ASSERT_EQ(driver_.StreamWriteValue64(kernel.stream(), reinterpret_cast<uint64_t>(word), 1, 0), kCuSuccess);
  kernel.Ask(0, 1, 1, 1);
  kernel.ExpectAnswer(0, 1, 2);
  Break();
  EXPECT_EQ(kernel.Wait(), kIllegalAddress);
  kernel.Ask(0, 2, 1, 1);  // nobody is there to see it
  EXPECT_EQ(driver_.CtxSynchronize(), kIllegalAddress);
  EXPECT_EQ(LoadAcquire(&kernel.ring()->finished[0]) >> 32, 1u);
  EXPECT_EQ(LoadAcquire(word), 0u);
}

TEST_F(FakeCudaDriverTest, Fault_IsOfOneDevice) {
  const auto device = Open(0);
  const ResidentKernel kernel(*device);
  const auto broken = Open(kBesideTheOther);
  Break();
  kernel.Ask(0, 1, 20, 3);
  kernel.ExpectAnswer(0, 1, 23);
  kernel.Leave();
  ASSERT_TRUE(device->MakeCurrent());
  EXPECT_EQ(kernel.Wait(), kCuSuccess);
}

TEST_F(FakeCudaDriverTest, Hang_LeavesOtherJobsAndStreamsAlone) {
  const auto device = Open(kHang);
  const Stream hung = MakeStream(*device);
  const Stream other = MakeStream(*device);
  const Shared memory(*device, 4096);
  uint64_t* const words = memory.pages.at<uint64_t>();
  const auto add = [&](size_t i) {
    VgpuJob job{};
    job.kind = VGPU_JOB_ADD;
    job.c = reinterpret_cast<uint64_t>(words + 2 * i);
    job.done = words + 2 * i + 1;
    job.seq = 7;
    return job;
  };
  VgpuBatch batch = OneJob(VGPU_JOB_HANG);
  batch.jobs[0].done = words + 100;
  batch.jobs[1] = add(1);
  ASSERT_EQ(LaunchBatch(batch, 2, hung.get()), kCuSuccess);
  batch.jobs[0] = add(2);
  ASSERT_EQ(LaunchBatch(batch, 1, hung.get()), kCuSuccess);
  Until([&] { return LoadAcquire(words + 3) == uint64_t{7} << 32; });
  batch.jobs[0] = add(3);
  ASSERT_EQ(LaunchBatch(batch, 1, other.get()), kCuSuccess);
  ASSERT_EQ(driver_.StreamSynchronize(other.get()), kCuSuccess);
  EXPECT_EQ(LoadAcquire(words + 7), uint64_t{7} << 32);
  EXPECT_EQ(driver_.StreamQuery(hung.get()), kCuNotReady);
  Break();  // so that this test can end
  EXPECT_EQ(driver_.StreamSynchronize(hung.get()), kIllegalAddress);
  EXPECT_EQ(LoadAcquire(words + 100), 0u);
  EXPECT_EQ(LoadAcquire(words + 5), 0u);
}

TEST_F(FakeCudaDriverTest, OperandThatIsNotRegistered_Faults) {
  const auto device = Open(kUnregistered);
  const Shared memory(*device, 4096);
  const Pages foreign(4096);
  VgpuBatch batch = OneJob(VectorJob<operations::VectorAdd>(VGPU_TYPE_I32));
  batch.jobs[0].a = batch.jobs[0].c = memory.registration->address();
  batch.jobs[0].b = reinterpret_cast<uint64_t>(foreign.at());
  batch.jobs[0].count = 1;
  ASSERT_EQ(LaunchBatch(batch, 1, nullptr), kCuSuccess);
  EXPECT_EQ(driver_.StreamSynchronize(nullptr), kIllegalAddress);
}

TEST_F(FakeCudaDriverTest, OperandThatIsNotAligned_Faults) {
  const auto device = Open(kMisaligned);
  const Shared memory(*device, 4096);
  VgpuBatch batch = OneJob(VectorJob<operations::VectorAdd>(VGPU_TYPE_F64));
  batch.jobs[0].a = batch.jobs[0].c = memory.registration->address();
  batch.jobs[0].b = memory.registration->address() + 4;
  batch.jobs[0].count = 1;
  ASSERT_EQ(LaunchBatch(batch, 1, nullptr), kCuSuccess);
  EXPECT_EQ(driver_.StreamSynchronize(nullptr), kMisalignedAddress);
}

// The null stream as one thread's, the others' own: for the sanitizers.
TEST_F(FakeCudaDriverTest, ManyThreads) {
  const auto device = Open();
  const Shared memory(*device, 4096);
  uint64_t* const words = memory.pages.at<uint64_t>();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, word = reinterpret_cast<uint64_t>(words + 8 * t)] {
      ASSERT_TRUE(device->MakeCurrent());
      for (uint64_t i = 1; i <= 50; ++i) {
        const Stream stream = MakeStream(*device);
        CuDevicePtr own = 0;
        ASSERT_EQ(driver_.MemAlloc(&own, 64), kCuSuccess);
        ASSERT_EQ(driver_.StreamWriteValue64(stream.get(), own, i, 0), kCuSuccess);
        uint64_t read = 0;
        ASSERT_EQ(driver_.MemcpyDtoHAsync(&read, own, sizeof read, stream.get()), kCuSuccess);
        ASSERT_EQ(driver_.StreamWriteValue64(stream.get(), word, i, 0), kCuSuccess);
        ASSERT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
        ASSERT_EQ(read, i);
        ASSERT_EQ(driver_.MemFree(own), kCuSuccess);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t) EXPECT_EQ(LoadAcquire(words + 8 * t), 50u);
}

}  // namespace
}  // namespace vgpu::gpu
