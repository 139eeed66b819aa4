// SPDX-License-Identifier: Apache-2.0
// Connecting to the mediator's control socket: each way to fail with its own cause and remedy.
#ifndef VGPU_BASE_CONNECT_H_
#define VGPU_BASE_CONNECT_H_

#include <string>
#include <tl/expected.hpp>

namespace vgpu::base {

struct ConnectError {
  int error = 0;  // errno
  std::string text;
};

// `socket` is a stream socket of AF_UNIX.
tl::expected<void, ConnectError> Connect(int socket, const std::string& path);

}  // namespace vgpu::base

#endif  // VGPU_BASE_CONNECT_H_
