// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/rival_server.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <stdexcept>

namespace vgpu::bench {

RivalServer::RivalServer(const std::function<void(uint64_t)>& serve, int cpu)
    : begin_(eventfd(0, EFD_CLOEXEC)) {
  auto child = Fork(cpu, [&] {
    uint64_t rounds;
    while (read(begin_.get(), &rounds, sizeof rounds) == sizeof rounds) {
      serve(__atomic_load_n(todo_.get(), __ATOMIC_ACQUIRE));
    }
  });
  if (!child) throw std::runtime_error(child.error());
  child_ = std::move(*child);
}

void RivalServer::Begin(uint64_t count) {
  __atomic_store_n(todo_.get(), count, __ATOMIC_RELEASE);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(begin_.get(), &one, sizeof one);
}

}  // namespace vgpu::bench
