// SPDX-License-Identifier: Apache-2.0
// A port of a real VM, and the daemon at its other end: right answers of every size, and a VM that goes on.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/lib/process.h"
#include "bench/subjects/socket/port_daemon.h"
#include "bench/vm/vm_process.h"
#include "bench/vm/vm_shell.h"

namespace vgpu::bench::socket {
namespace {

constexpr std::chrono::seconds kPatience{60};

TEST(PortInVm, EveryAnswerIsRight) {
  for (const char* name : {"VGPU_QEMU", "VGPU_KERNEL"}) {
    if (std::getenv(name) == nullptr) GTEST_SKIP() << name << " is not set; run tools/test";
  }
  const auto daemon = PortDaemon::Start();
  ASSERT_TRUE(daemon) << daemon.error();
  VmOptions options;
  options.device = false;
  options.cpu = -1;
  options.copies = {"bench/subjects/vector_client"};
  options.ports = {(*daemon)->socket()};
  const auto vm = VmShell::Boot(options, "");
  ASSERT_TRUE(vm) << vm.error();
  // Below, at and above what one write to a port carries.
  for (const uint64_t elements : {1, 2, 4094, 4095, 4096, 100'000}) {
    ASSERT_TRUE(
        (*vm)->Tell("vector_client port /dev/port2 --count 3 --elements " + std::to_string(elements)));
    const auto json = (*vm)->Answer(kPatience);
    ASSERT_TRUE(json) << elements << ": " << json.error();
    EXPECT_EQ((*json)["count"], 3) << elements;
    EXPECT_EQ((*json)["wrong"], 0) << elements;
  }
}

}  // namespace
}  // namespace vgpu::bench::socket
