// SPDX-License-Identifier: Apache-2.0
// The kernels of the fake driver, against plain C++.
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "gpu/fake/cuda_fixture.h"
#include "operations/table.h"

namespace vgpu::gpu {
namespace {

using operations::Vectors;

constexpr uint32_t kAddI32 = VectorJob<operations::VectorAdd>(VGPU_TYPE_I32);
constexpr uint32_t kAddI64 = VectorJob<operations::VectorAdd>(VGPU_TYPE_I64);
constexpr uint32_t kAddF32 = VectorJob<operations::VectorAdd>(VGPU_TYPE_F32);
constexpr uint32_t kAddF64 = VectorJob<operations::VectorAdd>(VGPU_TYPE_F64);

// Up to a batch of jobs, whose operands and results lie in one memory.
class Jobs {
 public:
  explicit Jobs(const Device& device) : memory_(device, kBytes), random_(seed_) {}

  // `off`: elements that each operand is away from 64 bytes; 0 for a result: in place, over a.
  template <class T>
  void AddVectors(uint32_t kind, uint64_t count, size_t off_a, size_t off_b, size_t off_c) {
    T* const a = Operand<T>(count, off_a);
    T* const b = Operand<T>(count, off_b);
    T* const c = off_c == 0 ? a : Operand<T>(count, off_c);
    std::vector<T> sums(count);
    for (uint64_t i = 0; i < count; ++i) sums[i] = a[i] + b[i];
    VgpuJob job{};
    job.kind = kind;
    job.a = Address(a);
    job.b = Address(b);
    job.c = Address(c);
    job.count = count;
    Add(job, 0);
    checks_.push_back([=] {
      for (uint64_t i = 0; i < count; ++i) ASSERT_TRUE(Same(c[i], sums[i])) << i << " of " << count;
    });
  }

  void AddIntegers(uint32_t a, uint32_t b) {
    uint64_t* const word = Take<uint64_t>(1, 0);
    const auto sequence = static_cast<uint32_t>(random_());
    VgpuJob job{};
    job.kind = VGPU_JOB_ADD;
    job.a = uint64_t{b} << 32 | a;
    job.b = sequence;
    job.c = Address(word);
    Add(job, a + b);
    checks_.push_back([=] { EXPECT_EQ(*word, uint64_t{sequence} << 32 | static_cast<uint32_t>(a + b)); });
  }

  VgpuBatch batch{};
  unsigned count() const { return count_; }
  void ExpectDone() const {
    for (unsigned i = 0; i < count_; ++i) {
      const uint64_t done = uint64_t{batch.jobs[i].seq} << 32 | data_[i];
      Until([&] { return LoadAcquire(batch.jobs[i].done) != 0; });
      EXPECT_EQ(LoadAcquire(batch.jobs[i].done), done) << "job " << i << ", seed " << seed_;
      SCOPED_TRACE(testing::Message() << "job " << i << ", seed " << seed_);
      checks_[i]();
    }
  }

 private:
  static constexpr size_t kBytes = 4 << 20;

  template <class T>
  static uint64_t Address(T* memory) {
    return reinterpret_cast<uint64_t>(memory);
  }
  template <class T>
  static bool Same(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(x) && std::isnan(y)) return true;
    }
    return std::memcmp(&x, &y, sizeof x) == 0;
  }

  template <class T>
  T* Take(uint64_t count, size_t off) {
    const size_t begin = (used_ + 63) / 64 * 64 + off * sizeof(T);
    used_ = begin + count * sizeof(T);
    EXPECT_LE(used_, kBytes);
    return memory_.pages.at<T>(begin);
  }
  // Any bits: of every few floating-point numbers one is a NaN, an infinity or a subnormal one.
  template <class T>
  T* Operand(uint64_t count, size_t off) {
    T* const operand = Take<T>(count, off);
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t bits = random_();
      if constexpr (std::is_floating_point_v<T>) bits = Special<T>(bits);
      std::memcpy(operand + i, &bits, sizeof(T));
    }
    return operand;
  }
  template <class T>
  uint64_t Special(uint64_t bits) {
    constexpr int kFraction = sizeof(T) == 4 ? 23 : 52;
    constexpr uint64_t kExponent = (sizeof(T) == 4 ? uint64_t{0xff} : uint64_t{0x7ff}) << kFraction;
    switch (random_() % 8) {
      case 0: return bits | kExponent;                               // a NaN
      case 1: return kExponent | (bits & 1) << (8 * sizeof(T) - 1);  // an infinity
      case 2: return bits & ~kExponent;                              // subnormal
      default: return bits;
    }
  }

  void Add(VgpuJob job, uint32_t data) {
    ASSERT_LT(count_, VGPU_BATCH_JOBS);
    job.done = Take<uint64_t>(1, 0);
    job.seq = static_cast<uint32_t>(random_()) | 1;
    data_[count_] = data;
    batch.jobs[count_++] = job;
  }

  const Shared memory_;
  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_;
  size_t used_ = 0;
  unsigned count_ = 0;
  uint32_t data_[VGPU_BATCH_JOBS] = {};
  std::vector<std::function<void()>> checks_;
};

class FakeCudaKernelsTest : public FakeCudaTest {
 protected:
  void SetUp() override {
    FakeCudaTest::SetUp();
    device_ = Open();
    ASSERT_NE(device_, nullptr);
  }
  void TearDown() override {
    device_.reset();
    FakeCudaTest::TearDown();
  }
  void Run(const Jobs& jobs) {
    const Stream stream = MakeStream(*device_);
    ASSERT_EQ(LaunchBatch(jobs.batch, jobs.count(), stream.get()), kCuSuccess);
    jobs.ExpectDone();
    EXPECT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
  }

  std::unique_ptr<Device> device_;
};

TEST_F(FakeCudaKernelsTest, BatchOfEveryType_IsThatOfPlainCode) {
  Jobs jobs(*device_);
  jobs.AddVectors<uint32_t>(kAddI32, 1, 0, 0, 4);
  jobs.AddVectors<uint32_t>(kAddI32, 4099, 1, 2, 3);
  jobs.AddVectors<uint64_t>(kAddI64, 1000, 0, 0, 2);
  jobs.AddVectors<uint64_t>(kAddI64, 4099, 1, 0, 3);
  jobs.AddVectors<float>(kAddF32, 4096, 0, 0, 4);
  jobs.AddVectors<float>(kAddF32, 4099, 3, 2, 1);
  jobs.AddVectors<double>(kAddF64, 4096, 0, 0, 2);
  jobs.AddVectors<double>(kAddF64, 4099, 1, 3, 2);
  jobs.AddIntegers(3, 4);
  Run(jobs);
}

TEST_F(FakeCudaKernelsTest, InPlace) {
  Jobs jobs(*device_);
  jobs.AddVectors<uint32_t>(kAddI32, 1001, 0, 0, 0);
  jobs.AddVectors<uint64_t>(kAddI64, 1001, 1, 0, 0);
  jobs.AddVectors<float>(kAddF32, 1001, 0, 0, 0);
  jobs.AddVectors<double>(kAddF64, 1001, 1, 0, 0);
  Run(jobs);
}

TEST_F(FakeCudaKernelsTest, NoElements_TouchesNothing) {
  for (uint32_t number = 0; number < Vectors::kNumbers; ++number) {
    if (Vectors::BytesOf(number) == 0) continue;
    Jobs jobs(*device_);
    jobs.AddVectors<uint32_t>(VGPU_JOB_VECTORS + number, 0, 0, 0, 1);
    VgpuJob& job = jobs.batch.jobs[jobs.count() - 1];
    job.a = job.b = job.c = 0;  // not an address
    Run(jobs);
  }
}

// Nothing hangs: its completion word says that there is no such job. Those beside it are computed.
TEST_F(FakeCudaKernelsTest, UnknownJob_IsAnsweredSo) {
  for (const uint32_t kind : {VGPU_JOB_VECTORS + Vectors::kNumbers, 0xffffu, ~0u}) {
    Jobs jobs(*device_);
    jobs.AddIntegers(1, 2);
    jobs.AddVectors<uint32_t>(kAddI32, 100, 0, 0, 1);
    const Shared memory(*device_, 4096);
    VgpuBatch batch = jobs.batch;
    VgpuJob& unknown = batch.jobs[jobs.count()];
    unknown = batch.jobs[1];
    unknown.kind = kind;
    unknown.seq = 7 << 8;
    unknown.done = memory.pages.at<uint64_t>();
    unknown.c = reinterpret_cast<uint64_t>(memory.pages.at<uint64_t>(64));
    const Stream stream = MakeStream(*device_);
    ASSERT_EQ(LaunchBatch(batch, jobs.count() + 1, stream.get()), kCuSuccess);
    ASSERT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
    EXPECT_EQ(LoadAcquire(unknown.done), uint64_t{7 << 8 | VGPU_ERR_UNSUPPORTED} << 32) << kind;
    EXPECT_EQ(*memory.pages.at<uint64_t>(64), 0u) << kind;
    jobs.ExpectDone();
  }
}

TEST_F(FakeCudaKernelsTest, Integers_WrapAround) {
  Jobs jobs(*device_);
  jobs.AddIntegers(0xffffffff, 1);
  jobs.AddIntegers(0x80000000, 0x80000001);
  jobs.AddIntegers(0x7fffffff, 1);
  Run(jobs);
}

TEST_F(FakeCudaKernelsTest, FullBatch_OnlyTheLaunchedJobsRun) {
  Jobs jobs(*device_);
  for (uint32_t i = 0; i < VGPU_BATCH_JOBS; ++i) jobs.AddIntegers(i, 7);
  const Stream stream = MakeStream(*device_);
  ASSERT_EQ(LaunchBatch(jobs.batch, VGPU_BATCH_JOBS - 1, stream.get()), kCuSuccess);
  ASSERT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
  EXPECT_EQ(LoadAcquire(jobs.batch.jobs[VGPU_BATCH_JOBS - 1].done), 0u);
  EXPECT_EQ(LaunchBatch(jobs.batch, VGPU_BATCH_JOBS + 1, stream.get()), 1);  // CUDA_ERROR_INVALID_VALUE
  ASSERT_EQ(LaunchBatch(jobs.batch, VGPU_BATCH_JOBS, stream.get()), kCuSuccess);
  ASSERT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
  jobs.ExpectDone();
}

TEST_F(FakeCudaKernelsTest, NativeAdd) {
  constexpr uint64_t kCount = 1000;
  const Shared memory(*device_, 3 * kCount * sizeof(uint32_t));
  uint32_t* const a = memory.pages.at<uint32_t>();
  for (uint32_t i = 0; i < 2 * kCount; ++i) a[i] = i * 0x01000193u;
  uint32_t* operands[] = {a, a + kCount, a + 2 * kCount};
  uint64_t count = kCount;
  void* parameters[] = {&operands[0], &operands[1], &operands[2], &count};
  const Stream stream = MakeStream(*device_);
  ASSERT_EQ(device_->Launch(Kernel::kNativeAdd, 4, 256, stream.get(), parameters), kCuSuccess);
  ASSERT_EQ(driver_.StreamSynchronize(stream.get()), kCuSuccess);
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(operands[2][i], operands[0][i] + operands[1][i]) << i;
}

TEST_F(FakeCudaKernelsTest, Busy_TakesItsTime) {
  uint64_t ns = 3'000'000;
  void* parameters[] = {&ns};
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(device_->Launch(Kernel::kBusy, 1, 32, nullptr, parameters), kCuSuccess);  // in the null stream
  ASSERT_EQ(driver_.StreamSynchronize(nullptr), kCuSuccess);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::nanoseconds(ns));
}

TEST_F(FakeCudaKernelsTest, Resident_AnswersEveryEntryInEveryLap_AndLeaves) {
  using std::chrono::steady_clock;
  const ResidentKernel kernel(*device_);
  // Longer than from gap to gap, were there any.
  const auto end = steady_clock::now() + std::chrono::milliseconds(15);
  for (uint32_t lap = 1; lap <= 20 || steady_clock::now() < end; ++lap) {
    for (uint32_t e = 0; e < ResidentKernel::kEntries; ++e) kernel.Ask(e, lap, 0xfffffff0u + e, lap);
    for (uint32_t e = 0; e < ResidentKernel::kEntries; ++e)
      kernel.ExpectAnswer(e, lap, 0xfffffff0u + e + lap);
  }
  EXPECT_EQ(driver_.StreamQuery(kernel.stream()), kCuNotReady);
  EXPECT_EQ(LoadAcquire(&kernel.ring()->gaps), 0u);
  kernel.Leave();
  EXPECT_EQ(kernel.Wait(), kCuSuccess);
  EXPECT_EQ(driver_.StreamQuery(kernel.stream()), kCuSuccess);
}

TEST_F(FakeCudaKernelsTest, Resident_WaitsForEveryWordOfAnEntry) {
  const ResidentKernel kernel(*device_);
  kernel.Ask(0, 1, 2, 3);
  kernel.ExpectAnswer(0, 1, 5);
  // Of the next lap, alone.
  StoreRelease(&kernel.ring()->entries[0].word[VGPU_RESIDENT_A], uint64_t{2} << 32 | 9);
  kernel.Ask(1, 1, 4, 4);
  kernel.ExpectAnswer(1, 1, 8);
  kernel.Ask(1, 2, 4, 5);  // a whole pass later
  kernel.ExpectAnswer(1, 2, 9);
  EXPECT_EQ(LoadAcquire(&kernel.ring()->finished[0]) >> 32, 1u);
  kernel.Ask(0, 2, 9, 1);
  kernel.ExpectAnswer(0, 2, 10);
  kernel.Leave();
  EXPECT_EQ(kernel.Wait(), kCuSuccess);
}

TEST_F(FakeCudaKernelsTest, Resident_ReportsGapsWhereAsked) {
  setenv("FAKE_CUDA_GAPS", "1", 1);
  const ResidentKernel kernel(*device_);
  Until([&] { return LoadAcquire(&kernel.ring()->gaps) >= 3; });
  kernel.Leave();
  EXPECT_EQ(kernel.Wait(), kCuSuccess);
}

TEST_F(FakeCudaKernelsTest, Resident_NotWithAThreadForEveryEntry_IsRefused) {
  CuDevicePtr ring = 0;
  void* parameters[] = {&ring};
  EXPECT_EQ(device_->Launch(Kernel::kResident, 1, 32, nullptr, parameters), 1);  // CUDA_ERROR_INVALID_VALUE
}

}  // namespace
}  // namespace vgpu::gpu
