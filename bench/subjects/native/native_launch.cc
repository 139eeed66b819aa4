// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "bench/lib/vectors.h"
#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kMemoryBytes = 4096;
constexpr uint64_t kVectorBytes = 4096;

struct Grid {
  unsigned blocks = 1;
  unsigned threads = 32;
};

// Operands at 0 and 128, sum at 256.
class NativeKernel : public Contestant {
 public:
  pid_t server() const override { return getpid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) final {
    return RunOneByOne(
        count, latency_ns, [this](uint64_t i) { return Ask(i); }, 1);
  }

  // One request; is its answer right?
  virtual bool Ask(uint64_t i) {
    const Operands operands = OperandsOf(i);
    Set(operands);
    Serve();
    return *word(256) == operands.sum();
  }

 protected:
  explicit NativeKernel(Lab* lab, uint64_t bytes = kMemoryBytes) : lab_(lab) {
    auto memory = GpuMemory::Create(*lab->device, bytes);
    if (!memory) throw std::runtime_error(memory.error());
    memory_ = std::move(*memory);
    Use(memory_->at(0), memory_->at(128), memory_->at(256));
  }

  void Use(gpu::CuDevicePtr a, gpu::CuDevicePtr b, gpu::CuDevicePtr c) { operands_ = {a, b, c}; }
  void Launch() {
    std::array<void*, 4> parameters = {&operands_[0], &operands_[1], &operands_[2], &count_};
    lab_->Must(lab_->device->Launch(gpu::Kernel::kNativeAdd, grid_.blocks, grid_.threads, lab_->urgent->get(),
                                    parameters.data()),
               "a launch");
  }
  void Wait() { lab_->Must(lab_->driver.StreamSynchronize(lab_->urgent->get()), "waiting for a stream"); }
  volatile uint32_t* word(uint64_t off) {
    return reinterpret_cast<volatile uint32_t*>(memory_->data() + off);
  }
  void Set(const Operands& operands) {
    *word(0) = static_cast<uint32_t>(operands.a);
    *word(128) = static_cast<uint32_t>(operands.b);
  }
  virtual void Serve() = 0;

  Lab* const lab_;
  std::unique_ptr<GpuMemory> memory_;
  std::array<gpu::CuDevicePtr, 3> operands_{};
  uint64_t count_ = 1;
  Grid grid_;
};

class NativeLaunch final : public NativeKernel {
 public:
  explicit NativeLaunch(Lab* lab) : NativeKernel(lab) {}
  std::string name() const override { return "launch + synchronise"; }

 private:
  void Serve() override {
    Launch();
    Wait();
  }
};

class NativeGraph final : public NativeKernel {
 public:
  explicit NativeGraph(Lab* lab) : NativeKernel(lab) {
    const gpu::CudaDriver& driver = lab->driver;
    lab->Must(driver.StreamBeginCapture(lab->urgent->get(), gpu::kCuCaptureThreadLocal), "beginning a graph");
    Launch();
    lab->Must(driver.StreamEndCapture(lab->urgent->get(), &graph_), "ending a graph");
    lab->Must(driver.GraphInstantiate(&executable_, graph_, 0), "making a graph");
  }
  ~NativeGraph() override {
    lab_->driver.GraphExecDestroy(executable_);
    lab_->driver.GraphDestroy(graph_);
  }
  std::string name() const override { return "graph of one node + synchronise"; }

 private:
  void Serve() override {
    lab_->Must(lab_->driver.GraphLaunch(executable_, lab_->urgent->get()), "launching a graph");
    Wait();
  }

  gpu::CuGraph graph_ = nullptr;
  gpu::CuGraphExec executable_ = nullptr;
};

class NativeCopies final : public NativeKernel {
 public:
  explicit NativeCopies(Lab* lab) : NativeKernel(lab) {
    lab->Must(lab->driver.MemAlloc(&device_memory_, kMemoryBytes), "memory of the GPU");
    Use(device_memory_, device_memory_ + 128, device_memory_ + 256);
  }
  ~NativeCopies() override { lab_->driver.MemFree(device_memory_); }
  std::string name() const override { return "pinned copies + launch + synchronise"; }

 private:
  void Serve() override {
    const gpu::CudaDriver& driver = lab_->driver;
    const gpu::CuStream stream = lab_->urgent->get();
    lab_->Must(driver.MemcpyHtoDAsync(device_memory_, memory_->data(), 132, stream), "a copy in");
    Launch();
    lab_->Must(driver.MemcpyDtoHAsync(memory_->data() + 256, device_memory_ + 256, 4, stream), "a copy out");
    Wait();
  }

  gpu::CuDevicePtr device_memory_ = 0;
};

class NativeVector final : public NativeKernel {
 public:
  explicit NativeVector(Lab* lab)
      : NativeKernel(lab, 3 * kVectorBytes),
        vectors_(part(0), part(1), part(2), kVectorBytes / sizeof(uint32_t)) {
    Use(memory_->at(0), memory_->at(kVectorBytes), memory_->at(2 * kVectorBytes));
    count_ = vectors_.count();
    grid_ = {4, 256};
  }
  std::string name() const override { return "launch + synchronise, 4 KiB vector"; }

 private:
  uint32_t* part(uint64_t n) { return reinterpret_cast<uint32_t*>(memory_->data() + n * kVectorBytes); }
  bool Ask(uint64_t) override {
    vectors_.Prepare();
    Serve();
    return vectors_.SamplesRight();
  }
  void Serve() override {
    Launch();
    Wait();
  }

  Vectors vectors_;
};

class NativeAsyncLaunches final : public NativeKernel {
 public:
  explicit NativeAsyncLaunches(Lab* lab) : NativeKernel(lab) {}
  std::string name() const override { return "asynchronous launches, one stream"; }

 private:
  // The last request of a round is the one that waits.
  bool Ask(uint64_t i) override {
    Launch();
    if (i % kBatch != kBatch - 1) return true;
    Wait();
    const Operands operands = OperandsOf(i);
    Set(operands);
    Launch();
    Wait();
    return *word(256) == operands.sum();
  }
  void Serve() override {}

  static constexpr uint64_t kBatch = 1000;
};

}  // namespace

std::unique_ptr<Contestant> MakeNativeLaunch(Lab* lab) { return std::make_unique<NativeLaunch>(lab); }
std::function<bool(uint64_t)> MakeNativeAsk(Lab* lab) {
  return [launch = std::make_shared<NativeLaunch>(lab)](uint64_t i) { return launch->Ask(i); };
}
std::unique_ptr<Contestant> MakeNativeGraph(Lab* lab) { return std::make_unique<NativeGraph>(lab); }
std::unique_ptr<Contestant> MakeNativeCopies(Lab* lab) { return std::make_unique<NativeCopies>(lab); }
std::unique_ptr<Contestant> MakeNativeVector(Lab* lab) { return std::make_unique<NativeVector>(lab); }
std::unique_ptr<Contestant> MakeNativeAsyncLaunches(Lab* lab) {
  return std::make_unique<NativeAsyncLaunches>(lab);
}

}  // namespace vgpu::bench
