// SPDX-License-Identifier: Apache-2.0
// A daemon on fake GPUs; with VGPU_REAL_GPU on this machine's.
#ifndef VGPU_TESTS_GPU_GPU_FIXTURE_H_
#define VGPU_TESTS_GPU_GPU_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {

class GpuTest : public testing::Test {
 protected:
  // `gpu` are lines of the table [gpu], `environment` settings of the fake driver, `tables` further ones of
  // the file.
  void Start(const std::string& gpu = "", std::vector<std::string> environment = {},
             const std::string& wait = "adaptive", const std::string& tables = "") {
#ifdef VGPU_REAL_GPU
    // As with the fake driver: one GPU, unless a test asks for more.
    const bool one = environment.empty() && gpu.find("pool_") == std::string::npos;
    for (const std::string& setting : std::exchange(environment, {})) {
      if (!setting.starts_with(kDevices)) GTEST_SKIP() << "this needs the fake driver";
      const std::string wanted = setting.substr(std::string(kDevices).size());
      if (Gpus() < std::stoul(wanted)) GTEST_SKIP() << "this needs " << wanted << " GPUs";
    }
    WriteFile(config_,
              "backend = \"cuda\"\n[gpu]\n" + gpu + (one ? "pool_a = [0]\npool_b = [0]\n" : "") + tables);
#else
    // The fake driver computes on processors that others may have for seconds: who is not about a time-out
    // has a long one.
    const bool timed = gpu.find("timeout_ms") != std::string::npos;
    WriteFile(config_, "backend = \"cuda\"\n[gpu]\ndriver_library = \"" + FakeDriver() + "\"\n" +
                           (timed ? "" : "timeout_ms = 30000\n") + gpu + tables);
#endif
    daemon_ = std::make_unique<Daemon>(DaemonOptions{.binary = kGpuMediator,
                                                     .socket = folder_ / "socket",
                                                     .flags = {"--config", config_, "--wait", wait},
                                                     .environment = std::move(environment),
                                                     .log = folder_ / "log"});
    const bool serving = daemon_->Serving();
#ifdef VGPU_REAL_GPU
    if (!serving && daemon_->Log().find("no NVIDIA driver") != std::string::npos)
      GTEST_SKIP() << "there is no GPU here";
    if (!serving && daemon_->Log().find("without the CUDA toolkit") != std::string::npos) {
      GTEST_SKIP() << "built without the CUDA toolkit";
    }
#endif
    ASSERT_TRUE(serving) << daemon_->Log();
  }
  // How many there are here.
  static size_t Gpus() {
    std::error_code error;
    const std::filesystem::directory_iterator gpus("/proc/driver/nvidia/gpus", error);
    return error ? 0 : static_cast<size_t>(std::distance(begin(gpus), end(gpus)));
  }
  // The tests run in their runfiles.
  static std::string FakeDriver() {
    char* path = realpath("gpu/fake/libfake_cuda.so", nullptr);
    const std::string text = path != nullptr ? path : "";
    std::free(path);
    return text;
  }

  // Attaches, opens ring 0, and waits until the GPU serves it.
  std::unique_ptr<Owner> Attach(uint32_t vm_id, std::unique_ptr<Guest>* guest, uint32_t pool = 'A',
                                uint64_t region_bytes = 4 << 20, uint32_t rings = 1, uint32_t priority = 1) {
    auto owner = AttachAnywhere(vm_id, guest, pool, region_bytes, rings, priority);
    EXPECT_TRUE(Eventually([&] { return OnGpu(vm_id); })) << daemon_->Log();
    return owner;
  }
  // The same, but does not wait.
  std::unique_ptr<Owner> AttachAnywhere(uint32_t vm_id, std::unique_ptr<Guest>* guest, uint32_t pool = 'A',
                                        uint64_t region_bytes = 4 << 20, uint32_t rings = 1,
                                        uint32_t priority = 1) {
    auto owner = std::make_unique<Owner>(OwnerOptions{
        .vm_id = vm_id, .pool = pool, .priority = priority, .rings = rings, .region_bytes = region_bytes});
    EXPECT_TRUE(owner->Attach(daemon_->socket())) << daemon_->Log();
    *guest = std::make_unique<Guest>(owner.get(), 0);
    (*guest)->Open();
    return owner;
  }
  // Adds until `over`; every answer must be right.
  static void KeepAsking(Guest* guest, const std::function<bool()>& over) {
    for (uint32_t i = 0; !over(); ++i) {
      const ring::Answer answer = guest->Ask(guest->Add(static_cast<int32_t>(i), 7));
      ASSERT_EQ(answer.code, VGPU_OK);
      ASSERT_EQ(answer.data, i + 7);
    }
  }
  static void Ask(Guest* guest, uint32_t count) {
    KeepAsking(guest, [asked = 0u, count]() mutable { return asked++ == count; });
  }
  // Where in the status this VM is.
  std::string Vm(uint32_t vm_id) {
    const uint64_t count = daemon_->VmCount();
    for (uint64_t i = 0; i < count; ++i) {
      const std::string at = "/vms/" + std::to_string(i);
      if (daemon_->StatusNumber(at + "/vm_id") == vm_id) return at;
    }
    return "";
  }
  std::string RunsOn(uint32_t vm_id) { return daemon_->StatusText(Vm(vm_id) + "/runs_on"); }
  bool OnGpu(uint32_t vm_id) { return RunsOn(vm_id).starts_with("gpu"); }
  uint64_t GpuPieces(uint32_t vm_id) { return daemon_->StatusNumber(Vm(vm_id) + "/gpu_pieces"); }

#ifdef VGPU_REAL_GPU
  static constexpr const char* kGpuMediator = kCrashMediator;
#else
  static constexpr const char* kGpuMediator = "mediator/mediator_fake_gpu";
#endif
  static constexpr const char* kDevices = "FAKE_CUDA_DEVICES=";
  const TempFolder folder_;
  const std::string config_ = folder_ / "m.toml";
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_GPU_GPU_FIXTURE_H_
