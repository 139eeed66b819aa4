// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/stream.h"

#include <unistd.h>

#include <cerrno>

namespace vgpu::bench::socket {

bool ReadAll(int fd, void* to, size_t bytes) {
  auto* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = read(fd, next, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool WriteAll(int fd, const void* from, size_t bytes) {
  const auto* next = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t put = write(fd, next, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    next += put;
    bytes -= static_cast<size_t>(put);
  }
  return true;
}

}  // namespace vgpu::bench::socket
