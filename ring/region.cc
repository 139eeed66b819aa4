// SPDX-License-Identifier: Apache-2.0
#include "ring/region.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace vgpu::ring {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

tl::unexpected<std::string> SystemError(const char* what) {
  return tl::make_unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

tl::unexpected<std::string> CannotSize() {
  return SystemError(errno == EFBIG ? "cannot size a memfd (raise the limit on file sizes, ulimit -f)"
                                    : "cannot size a memfd");
}

}  // namespace

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

bool Mapping::UnmapSome(size_t bytes) {
  const size_t some = bytes < bytes_ ? bytes : bytes_;
  bytes_ -= some;
  if (some != 0) munmap(data() + bytes_, some);
  if (bytes_ == 0) data_ = nullptr;
  return bytes_ != 0;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<UniqueFd> MakeSealedMemfd(const char* name, uint64_t bytes) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return SystemError("cannot create a memfd");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return CannotSize();
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return SystemError("cannot seal a memfd");
  return fd;
}

Result<void> CheckSealed(int fd, uint64_t bytes) {
  // Before anything else: it asks nobody but the kernel, while fstat may ask a file system that never answers.
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 && errno == EBADF) return SystemError("cannot look at the shared memory");
  if (seals < 0) return tl::make_unexpected("the shared memory is not a memfd: use memory-backend-memfd");
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("cannot look at the shared memory");
  if ((seals & kSeals) != kSeals) {
    return tl::make_unexpected(
        fmt::format("the shared memory is not sealed (seals {:#x}, needed {:#x}): use memory-backend-memfd with "
                    "seal=on",
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

Result<Mapping> MapShared(int fd, uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return SystemError("cannot map the shared memory");
  madvise(data, bytes, MADV_DONTDUMP);  // a VM's memory has no business in a core file
  return Mapping(data, bytes);
}

Result<void> Populate(const Mapping& mapping) {
  if (madvise(mapping.data(), mapping.bytes(), MADV_POPULATE_WRITE) == 0) return {};
  if (errno != EINVAL) {
    return SystemError("cannot populate the shared memory (is there enough memory, or are there enough huge pages?)");
  }
  TouchPages(mapping);  // Linux before 5.14 does not know the advice
  return {};
}

// Exchanging a byte for itself is a write that nobody notices who uses the page.
void TouchPages(const Mapping& mapping) {
  for (char* page = mapping.data(); page < mapping.data() + mapping.bytes(); page += VGPU_PAGE_BYTES) {
    char byte = __atomic_load_n(page, __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(page, &byte, byte, /*weak=*/false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

Result<OwnedMemory> MakeOwnedMemory(const char* name, uint64_t bytes) {
  auto fd = MakeSealedMemfd(name, bytes);
  if (!fd) return tl::make_unexpected(fd.error());
  auto mapping = MapShared(fd->get(), bytes);
  if (!mapping) return tl::make_unexpected(mapping.error());
  if (auto present = Populate(*mapping); !present) return tl::make_unexpected(present.error());
  return OwnedMemory{std::move(*fd), std::move(*mapping)};
}

Result<void> OverlayRings(char* region, const vgpu_layout& layout, int rings_fd) {
  for (uint32_t ring = 0; ring < layout.ring_count; ++ring) {
    const vgpu_rings_piece piece = vgpu_rings_piece_of(&layout, ring);
    char* const at = region + piece.region_off;
    if (mmap(at, piece.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, rings_fd,
             static_cast<off_t>(piece.file_off)) == MAP_FAILED) {
      return SystemError("cannot map the rings file over the region (memory of huge pages cannot have one)");
    }
    madvise(at, piece.bytes, MADV_DONTDUMP);
  }
  return {};
}

// The region's own pages below the rings file stay missing: nobody ever sees them.
Result<OwnedRegion> MakeOwnedRegion(const vgpu_layout& layout) {
  auto fd = MakeSealedMemfd("vgpu-region", layout.region_bytes);
  if (!fd) return tl::make_unexpected(fd.error());
  auto rings_fd = MakeSealedMemfd("vgpu-rings", vgpu_rings_bytes(&layout));
  if (!rings_fd) return tl::make_unexpected(rings_fd.error());
  auto mapping = MapShared(fd->get(), layout.region_bytes);
  if (!mapping) return tl::make_unexpected(mapping.error());
  if (auto laid = OverlayRings(mapping->data(), layout, rings_fd->get()); !laid) return tl::make_unexpected(laid.error());
  if (auto present = Populate(*mapping); !present) return tl::make_unexpected(present.error());
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(mapping->data()), &layout);
  return OwnedRegion{std::move(*fd), std::move(*rings_fd), std::move(*mapping)};
}

Result<vgpu_layout> ReadLayout(const Mapping& region) {
  if (region.bytes() < sizeof(vgpu_region_header)) return tl::make_unexpected("the region is too small");
  const auto* shared = reinterpret_cast<const volatile vgpu_region_header*>(region.data());
  if (shared->magic != VGPU_REGION_MAGIC) {
    return tl::make_unexpected("the region has no vgpu-ring header: is this device a vgpu-stub with a ring?");
  }
  const uint32_t version = shared->abi_version;
  if (version >> 16 != VGPU_ABI_VERSION >> 16) {
    return tl::make_unexpected(
        fmt::format("the region has ABI version {}.{}, this program knows {}.{}: install the matching version",
                    version >> 16, version & 0xffff, VGPU_ABI_VERSION >> 16, VGPU_ABI_VERSION & 0xffff));
  }
  vgpu_layout layout;
  if (vgpu_layout_make(shared->region_bytes, shared->ring_count, shared->entries, &layout) != 0 ||
      layout.region_bytes > region.bytes() || layout.ring_off != shared->ring_off ||
      layout.ring_stride != shared->ring_stride || shared->slots_off != VGPU_SLOTS_OFF ||
      layout.arena_off != shared->arena_off || layout.arena_bytes != shared->arena_bytes) {
    return tl::make_unexpected("the region's header is damaged: reset the device (reboot the VM)");
  }
  return layout;
}

}  // namespace vgpu::ring
