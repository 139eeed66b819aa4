// SPDX-License-Identifier: Apache-2.0
#include "base/missing_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::base::missing_pages {
namespace {

constexpr size_t kPage = 4096;

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

// One for the process, opened at the first use, before the process hides itself from its own user: an
// unmapped range forgets itself.
class UserFault {
 public:
  UserFault() : pagemap_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
    // Faults of the kernel's on our behalf are errors, too: that needs no privilege.
    fd_ = UniqueFd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
    if (!fd_) {
      Fail("userfaultfd");
      return;
    }
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS;
    if (ioctl(fd_.get(), UFFDIO_API, &api) != 0) Fail("userfaultfd's bus errors");
  }

  const std::string& error() const { return error_; }
  int pagemap() const { return pagemap_.get(); }
  bool Register(const void* data, size_t bytes) const {
    uffdio_register range{};
    range.range = {reinterpret_cast<uintptr_t>(data), bytes};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    return error_.empty() && ioctl(fd_.get(), UFFDIO_REGISTER, &range) == 0;
  }

 private:
  void Fail(const char* what) {
    error_ = fmt::format("{}: {}", what, std::strerror(errno));
    fd_.reset();
  }

  const UniqueFd pagemap_;
  UniqueFd fd_;
  std::string error_;
};

const UserFault& TheUserFault() {
  static const UserFault fault;
  return fault;
}

}  // namespace

Result<void> Supported() {
  const std::string& error = TheUserFault().error();
  if (error.empty()) return {};
  return tl::make_unexpected(error);
}

bool Guard(const void* data, size_t bytes) { return TheUserFault().Register(data, bytes); }

bool Present(const void* data, size_t bytes) {
  assert(bytes <= kCheckMax);
  std::array<unsigned char, kCheckMax / kPage> pages;
  const size_t count = (bytes + kPage - 1) / kPage;
  if (mincore(const_cast<void*>(data), bytes, pages.data()) != 0) return false;
  return std::all_of(pages.begin(), pages.begin() + static_cast<ptrdiff_t>(count),
                     [](unsigned char page) { return (page & 1) != 0; });
}

bool Mapped(const void* data, size_t bytes) {
  const int pagemap = TheUserFault().pagemap();
  // Present, or swapped out: not the owner's doing.
  constexpr uint64_t kThere = (uint64_t{1} << 63) | (uint64_t{1} << 62);
  constexpr size_t kEntries = 4096;
  std::array<uint64_t, kEntries> entries;
  const uintptr_t first = reinterpret_cast<uintptr_t>(data) / kPage;
  const size_t pages = bytes / kPage;
  for (size_t at = 0; at < pages; at += kEntries) {
    const size_t count = std::min(kEntries, pages - at);
    const ssize_t want = static_cast<ssize_t>(count * sizeof(uint64_t));
    const auto offset = static_cast<off_t>((first + at) * sizeof(uint64_t));
    if (pread(pagemap, entries.data(), static_cast<size_t>(want), offset) != want) return true;
    const auto end = entries.begin() + static_cast<ptrdiff_t>(count);
    if (std::any_of(entries.begin(), end, [](uint64_t entry) { return (entry & kThere) == 0; })) return false;
  }
  return true;
}

}  // namespace vgpu::base::missing_pages
