// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/listener.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace vgpu::bench {

Result<base::UniqueFd> Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return tl::make_unexpected(path + " is too long for a socket: set TMPDIR");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  base::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return tl::make_unexpected(fmt::format("cannot listen on {}: {}", path, std::strerror(errno)));
  }
  return listener;
}

}  // namespace vgpu::bench
