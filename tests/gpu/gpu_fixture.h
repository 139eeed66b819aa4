// SPDX-License-Identifier: Apache-2.0
// A daemon on fake GPUs.
#ifndef VGPU_TESTS_GPU_GPU_FIXTURE_H_
#define VGPU_TESTS_GPU_GPU_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {

class GpuTest : public testing::Test {
 protected:
  // `gpu` are lines of the table [gpu], `environment` settings of the fake driver.
  void Start(const std::string& gpu = "", std::vector<std::string> environment = {}) {
    WriteFile(config_, "backend = \"cuda\"\n[gpu]\ndriver_library = \"" + FakeDriver() + "\"\n" + gpu);
    daemon_ = std::make_unique<Daemon>(DaemonOptions{.binary = kFakeGpuMediator,
                                                     .socket = folder_ / "socket",
                                                     .flags = {"--config", config_},
                                                     .environment = std::move(environment),
                                                     .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  }
  // The tests run in their runfiles.
  static std::string FakeDriver() {
    char* path = realpath("gpu/libfake_cuda.so", nullptr);
    const std::string text = path != nullptr ? path : "";
    std::free(path);
    return text;
  }

  // Attaches, opens ring 0, and waits until the GPU serves it.
  std::unique_ptr<Owner> Attach(uint32_t vm_id, std::unique_ptr<Guest>* guest, uint32_t pool = 'A',
                                uint64_t region_bytes = 4 << 20, uint32_t rings = 1, uint32_t priority = 1) {
    auto owner = std::make_unique<Owner>(OwnerOptions{
        .vm_id = vm_id, .pool = pool, .priority = priority, .rings = rings, .region_bytes = region_bytes});
    EXPECT_TRUE(owner->Attach(daemon_->socket())) << daemon_->Log();
    *guest = std::make_unique<Guest>(owner.get(), 0);
    (*guest)->Open();
    EXPECT_TRUE(Eventually([&] { return OnGpu(vm_id); })) << daemon_->Log();
    return owner;
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

  static constexpr const char* kFakeGpuMediator = "mediator/mediator_fake_gpu";
  const TempFolder folder_;
  const std::string config_ = folder_ / "m.toml";
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_GPU_GPU_FIXTURE_H_
