// SPDX-License-Identifier: Apache-2.0
#include "ring/region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

#include "base/mapping.h"
#include "base/memfd.h"
#include "base/result.h"

namespace vgpu::ring {

base::Result<void> OverlayRings(char* region, const vgpu_layout& layout, int rings_fd) {
  for (uint32_t ring = 0; ring < layout.ring_count; ++ring) {
    const vgpu_rings_piece piece = vgpu_rings_piece_of(&layout, ring);
    char* const at = region + piece.region_off;
    if (mmap(at, piece.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, rings_fd,
             static_cast<off_t>(piece.file_off)) == MAP_FAILED) {
      return base::SystemError(
          "cannot map the rings file over the region (memory of huge pages cannot have one)");
    }
    madvise(at, piece.bytes, MADV_DONTDUMP);
  }
  return {};
}

// The region's own pages below the rings file stay missing: nobody ever sees them.
base::Result<OwnedRegion> MakeOwnedRegion(const vgpu_layout& layout) {
  auto fd = base::MakeSealedMemfd("vgpu-region", layout.region_bytes);
  if (!fd) return tl::make_unexpected(fd.error());
  auto rings_fd = base::MakeSealedMemfd("vgpu-rings", vgpu_rings_bytes(&layout));
  if (!rings_fd) return tl::make_unexpected(rings_fd.error());
  auto mapping = base::MapShared(fd->get(), layout.region_bytes);
  if (!mapping) return tl::make_unexpected(mapping.error());
  if (auto laid = OverlayRings(mapping->data(), layout, rings_fd->get()); !laid)
    return tl::make_unexpected(laid.error());
  if (auto present = base::Populate(*mapping); !present) return tl::make_unexpected(present.error());
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(mapping->data()), &layout);
  return OwnedRegion{std::move(*fd), std::move(*rings_fd), std::move(*mapping)};
}

base::Result<vgpu_layout> ReadLayout(const base::Mapping& region) {
  if (region.bytes() < sizeof(vgpu_region_header)) return tl::make_unexpected("the region is too small");
  const auto* shared = reinterpret_cast<const volatile vgpu_region_header*>(region.data());
  if (shared->magic != VGPU_REGION_MAGIC) {
    return tl::make_unexpected("the region has no vgpu-ring header: is this device a vgpu-stub with a ring?");
  }
  const uint32_t version = shared->abi_version;
  if (version >> 16 != VGPU_ABI_VERSION >> 16) {
    return tl::make_unexpected(fmt::format(
        "the region has ABI version {}.{}, this program knows {}.{}: install the matching version",
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
