// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/system_check.h"

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

// It says which descriptors of a VM are eventfds, and what program an engine is.
base::Result<void> CheckProc() {
  if (access("/proc/self/fdinfo", F_OK) == 0) return {};
  return tl::make_unexpected(
      "/proc is not there: mount it in this sandbox, container or chroot (mount -t proc proc /proc)");
}

// How the loop takes the count out of an eventfd (eventfd.cc): without it none would ever be empty.
base::Result<void> CheckEventfd() {
  const base::UniqueFd fd(eventfd(1, EFD_CLOEXEC));
  if (!fd) return tl::make_unexpected(Refused("cannot create an eventfd", errno));
  uint64_t count = 0;
  const iovec piece{&count, sizeof count};
  if (preadv2(fd.get(), &piece, 1, -1, RWF_NOWAIT) == sizeof count && count == 1) return {};
  return tl::make_unexpected(Refused("preadv2 of an eventfd does not work (it needs Linux 5.8)", errno));
}

}  // namespace

base::Result<void> CheckSystem() {
  if (const auto proc = CheckProc(); !proc) return proc;
  return CheckEventfd();
}

}  // namespace vgpu::mediator
