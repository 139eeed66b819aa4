// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/attach.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "api/codes.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/missing_pages.h"
#include "base/result.h"
#include "mediator/control/short_file.h"
#include "ring/region.h"

namespace vgpu::mediator {
namespace {

tl::unexpected<Refusal> Refuse(uint32_t code, std::string text) {
  return tl::make_unexpected(Refusal{code, std::move(text)});
}

// Populated at a time: about a millisecond.
constexpr size_t kStepBytes = base::missing_pages::kCheckMax;

const char kMissing[] =
    "it has pages that are not present: its owner must make them present (MADV_POPULATE_WRITE) before it "
    "attaches, so that the memory is its own (QEMU's device of this release does)";

// Makes the pages of a range, which are there, known to this process.
tl::expected<void, std::string> MapPresent(char* data, size_t bytes) {
  // Where a missing page is an error the kernel itself tells it from one that is swapped out.
  const bool told = base::missing_pages::Supported().has_value();
  if (!told && !base::missing_pages::Present(data, bytes)) return tl::make_unexpected(std::string(kMissing));
  // Not known before Linux 5.14.
  if (madvise(data, bytes, MADV_POPULATE_WRITE) == 0 || errno == EINVAL) return {};
  if (errno == EFAULT) return tl::make_unexpected(std::string(kMissing));
  return tl::make_unexpected(fmt::format("its pages cannot be mapped: {}", std::strerror(errno)));
}

tl::unexpected<Refusal> RefuseFile(const char* what, const std::string& why) {
  return Refuse(VGPU_ERR_INVALID_REQUEST, fmt::format("{}: {}", what, why));
}

tl::expected<base::Mapping, Refusal> MapSealed(const char* what, int fd, uint64_t bytes) {
  if (const auto sealed = base::CheckSealed(fd, bytes); !sealed) return RefuseFile(what, sealed.error());
  base::Result<base::Mapping> mapping = base::MapShared(fd, bytes);
  if (!mapping) return RefuseFile(what, mapping.error());
  return std::move(*mapping);
}

tl::expected<base::GuardedMapping, Refusal> Guard(const char* what, base::Mapping mapping) {
  const bool supported = base::missing_pages::Supported().has_value();
  if (!base::missing_pages::Guard(mapping.data(), mapping.bytes()) && supported) {
    return RefuseFile(what, "its missing pages cannot be guarded against: use memory-backend-memfd");
  }
  base::GuardedMapping guarded(std::move(mapping));
  if (!guarded.guarded())
    return Refuse(VGPU_ERR_QUEUE_FULL, "the mediator guards as much memory as it can: attach fewer VMs");
  return guarded;
}

}  // namespace

tl::expected<Identity, Refusal> CheckClaim(const vgpu_msg_attach& claim, const Config& config,
                                           vgpu_layout* layout) {
  *layout = {};
  if (claim.pool != 'A' && claim.pool != 'B') {
    return Refuse(VGPU_ERR_INVALID_POOL, "the pool is neither A nor B: set pool_id to one of them");
  }
  if (claim.priority >= kPriorities) {
    return Refuse(VGPU_ERR_INVALID_REQUEST,
                  fmt::format("priority {} is none of 0 (low), 1, 2 (high)", claim.priority));
  }
  if (claim.ring_count == 0) {
    if (claim.region_bytes != 0) return Refuse(VGPU_ERR_INVALID_REQUEST, "a region without rings");
  } else if (vgpu_layout_make(claim.region_bytes, claim.ring_count, claim.entries, layout) != 0) {
    return Refuse(
        VGPU_ERR_INVALID_REQUEST,
        fmt::format("{} rings of {} entries do not make a region of {} bytes: the size is a power of two "
                    "from 64 KiB to 64 GiB, the entries a power of two from 2 to 4096, the rings 1 to 8",
                    claim.ring_count, claim.entries, claim.region_bytes));
  }
  if (claim.region_bytes > config.region_bytes_max) {
    return Refuse(VGPU_ERR_TOO_LARGE, fmt::format("a region of {} bytes is above this mediator's limit of "
                                                  "{}: give the VM less, or raise limits.region_bytes_max",
                                                  claim.region_bytes, config.region_bytes_max));
  }
  if (config.vms.empty()) return Identity{claim.vm_id, claim.pool, claim.priority};
  const auto vm = std::find_if(config.vms.begin(), config.vms.end(),
                               [&](const VmConfig& entry) { return entry.vm_id == claim.vm_id; });
  if (vm == config.vms.end()) {
    return Refuse(
        VGPU_ERR_INVALID_REQUEST,
        fmt::format("VM {} is not in the mediator's configuration: add a [[vm]] entry", claim.vm_id));
  }
  return Identity{vm->vm_id, static_cast<uint32_t>(vm->pool), vm->priority};
}

tl::expected<void, Refusal> CheckIsMemfd(const char* what, int fd) {
  // The first look of all: it asks nobody but the kernel, while fstat may ask a file system of the owner's.
  if (fcntl(fd, F_GET_SEALS) >= 0) return {};
  return Refuse(VGPU_ERR_INVALID_REQUEST,
                fmt::format("{}: the shared memory is not a memfd: use memory-backend-memfd", what));
}

// Anything else could be readable for ever (a file), or block (a pipe).
tl::expected<void, Refusal> CheckIsEventfd(const char* what, int fd) {
  std::array<char, 64> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  if (length < 0) {
    return Refuse(VGPU_ERR_UNSUPPORTED,
                  fmt::format("the mediator cannot tell what {} is ({}: {}): give it /proc", what, link,
                              std::strerror(errno)));
  }
  // A mere path to an eventfd (O_PATH) has the same name, but can be neither read, written nor waited for.
  const bool usable = (fcntl(fd, F_GETFL) & O_PATH) == 0;
  if (usable && std::string_view(target.data(), static_cast<size_t>(length)) == "anon_inode:[eventfd]")
    return {};
  return Refuse(VGPU_ERR_INVALID_REQUEST, fmt::format("{} is no eventfd", what));
}

MemoryId MemoryIdOf(int fd) {
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

MemoryPreparer::MemoryPreparer(const vgpu_layout& layout, PeerFd private_file, PeerFd region, PeerFd rings)
    : private_fd_(std::move(private_file)) {
  memory_.layout = layout;
  memory_.region_fd = std::move(region);
  memory_.rings_fd = std::move(rings);
}

tl::expected<base::GuardedMapping, Refusal> MemoryPreparer::MapPrivateFile() {
  auto mapping = MapSealed("the private file", private_fd_.get(), VGPU_PRIVATE_BYTES);
  if (!mapping) return tl::make_unexpected(std::move(mapping.error()));
  return Guard("the private file", std::move(*mapping));
}

tl::expected<base::GuardedMapping, Refusal> MemoryPreparer::MapRegion() {
  const vgpu_layout& layout = memory_.layout;
  auto mapping = MapSealed("the region", memory_.region_fd.get(), layout.region_bytes);
  if (!mapping) return tl::make_unexpected(std::move(mapping.error()));
  if (memory_.rings_fd) {
    const int rings = memory_.rings_fd.get();
    if (const auto sealed = base::CheckSealed(rings, vgpu_rings_bytes(&layout)); !sealed) {
      return RefuseFile("the rings file", sealed.error());
    }
    if (const auto laid = ring::OverlayRings(mapping->data(), layout, rings); !laid)
      return RefuseFile("the rings file", laid.error());
  }
  return Guard("the region", std::move(*mapping));  // what lies over it, too
}

tl::expected<void, Refusal> MemoryPreparer::MapAll() {
  auto mapped = MapPrivateFile();
  if (!mapped) return tl::make_unexpected(std::move(mapped.error()));
  memory_.private_file = std::move(*mapped);
  const auto present = MapPresent(memory_.private_file.data(), VGPU_PRIVATE_BYTES);
  if (!present) return RefuseFile("the private file", present.error());
  if (memory_.layout.ring_count == 0) return {};
  mapped = MapRegion();
  if (!mapped) return tl::make_unexpected(std::move(mapped.error()));
  memory_.region = std::move(*mapped);
  memory_.arenas_are_short = IsShortFile(memory_.region_fd.get(), memory_.layout.region_bytes);
  memory_.rings_are_short = memory_.rings_fd || memory_.arenas_are_short;
  return {};
}

tl::expected<bool, Refusal> MemoryPreparer::Step() {
  if (!mapped_) {
    if (auto mapped = MapAll(); !mapped) return tl::make_unexpected(std::move(mapped.error()));
    mapped_ = true;
    return memory_.layout.ring_count == 0;
  }
  const size_t step = std::min(kStepBytes, memory_.region.bytes() - present_bytes_);
  const auto present = MapPresent(memory_.region.data() + present_bytes_, step);
  if (!present)
    return RefuseFile(memory_.rings_fd ? "the region or its rings file" : "the region", present.error());
  present_bytes_ += step;
  return present_bytes_ == memory_.region.bytes();
}

}  // namespace vgpu::mediator
