// SPDX-License-Identifier: Apache-2.0
// The daemon at the other end of VMs' ports: a process that answers each connection in a
// thread of its own, blocking.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_PORT_DAEMON_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_PORT_DAEMON_H_

#include <memory>
#include <string>

#include "bench/lib/process.h"

namespace vgpu::bench::socket {

// Answers one connection until the other side is gone, or has sent a header against the rules: that is
// refused, and nothing after it can be told apart.
void ServePort(int fd);

class PortDaemon {
 public:
  // Whoever connects from now on is answered.
  static Result<std::unique_ptr<PortDaemon>> Start();
  std::string socket() const { return folder_ / "socket"; }

 private:
  PortDaemon() = default;

  TempDir folder_;
  Child child_;
};

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_PORT_DAEMON_H_
