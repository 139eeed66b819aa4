// SPDX-License-Identifier: Apache-2.0
#include "base/memfd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace vgpu::base {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

tl::unexpected<std::string> CannotSize() {
  return SystemError(errno == EFBIG ? "cannot size a memfd (raise the limit on file sizes, ulimit -f)"
                                    : "cannot size a memfd");
}

}  // namespace

Result<UniqueFd> MakeSealedMemfd(const char* name, uint64_t bytes) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return SystemError("cannot create a memfd");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return CannotSize();
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return SystemError("cannot seal a memfd");
  return fd;
}

Result<void> CheckSealed(int fd, uint64_t bytes) {
  // Before anything else: it asks nobody but the kernel, while fstat may ask a
  // file system that never answers.
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 && errno == EBADF) return SystemError("cannot look at the shared memory");
  if (seals < 0) return tl::make_unexpected("the shared memory is not a memfd: use memory-backend-memfd");
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("cannot look at the shared memory");
  if ((seals & kSeals) != kSeals) {
    return tl::make_unexpected(fmt::format(
        "the shared memory is not sealed (seals {:#x}, needed {:#x}): use memory-backend-memfd with seal=on",
        seals, kSeals));
  }
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return tl::make_unexpected("the shared memory is sealed against writing: seal it against resizing only");
  }
  if (static_cast<uint64_t>(info.st_size) != bytes) {
    return tl::make_unexpected(
        fmt::format("the shared memory has {} bytes, not the {} announced", info.st_size, bytes));
  }
  return {};
}

Result<OwnedMemory> MakeOwnedMemory(const char* name, uint64_t bytes) {
  auto fd = MakeSealedMemfd(name, bytes);
  if (!fd) return tl::make_unexpected(fd.error());
  auto mapping = MapShared(fd->get(), bytes);
  if (!mapping) return tl::make_unexpected(mapping.error());
  if (auto present = Populate(*mapping); !present) return tl::make_unexpected(present.error());
  return OwnedMemory{std::move(*fd), std::move(*mapping)};
}

}  // namespace vgpu::base
