// SPDX-License-Identifier: Apache-2.0
#include "engine/regions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mapping.h"
#include "base/memfd.h"
#include "base/missing_pages.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ring/memory.h"
#include "ring/region.h"

namespace vgpu::engine {
namespace {

namespace missing_pages = base::missing_pages;

bool AllPresent(const base::GuardedMapping& mapping) {
  for (size_t at = 0; at < mapping.bytes(); at += missing_pages::kCheckMax) {
    const size_t bytes = std::min(missing_pages::kCheckMax, mapping.bytes() - at);
    if (!missing_pages::Present(mapping.data() + at, bytes)) return false;
  }
  return true;
}

// As the mediator has it. Both files have been checked by it; what could shrink would kill this process.
base::Result<base::Mapping> Map(const vgpu_layout& layout, int fd, int rings_fd) {
  if (const auto sealed = base::CheckSealed(fd, layout.region_bytes); !sealed)
    return tl::make_unexpected(sealed.error());
  auto mapping = base::MapShared(fd, layout.region_bytes);
  if (!mapping || rings_fd < 0) return mapping;
  const auto sealed = base::CheckSealed(rings_fd, vgpu_rings_bytes(&layout));
  if (!sealed) return tl::make_unexpected(sealed.error());
  const auto laid = ring::OverlayRings(mapping->data(), layout, rings_fd);
  if (!laid) return tl::make_unexpected(laid.error());
  return mapping;
}

}  // namespace

gpu::Result<void> Regions::Add(uint32_t id, const vgpu_layout& layout, const base::UniqueFd& fd,
                               const base::UniqueFd& rings_fd) {
  if (id >= kRegionsMax || regions_[id]) return tl::make_unexpected(fmt::format("no room for region {}", id));
  auto mapped = Map(layout, fd.get(), rings_fd.get());
  if (!mapped) return tl::make_unexpected(mapped.error());
  missing_pages::Guard(mapped->data(), mapped->bytes());
  lost_[id].store(0, std::memory_order_relaxed);
  base::GuardedMapping mapping(std::move(*mapped), &lost_[id]);
  if (!AllPresent(mapping)) return tl::make_unexpected("pages of it are gone: its owner has taken them away");
  auto registration = gpu::HostRegistration::Create(*device_, mapping.data(), mapping.bytes());
  if (!registration) return tl::make_unexpected(registration.error());
  const uint64_t base = registration->address();
  if (base != reinterpret_cast<uint64_t>(mapping.data())) {
    return tl::make_unexpected(
        "this GPU does not use the host's addresses (no unified addressing): it is too old");
  }
  for (uint32_t q = 0; q < layout.ring_count; ++q) {
    const uint64_t slots = base + layout.ring_off + q * layout.ring_stride + VGPU_SLOTS_OFF;
    ring::RealMemory::StoreRelease(reinterpret_cast<uint64_t*>(&slots_[id * VGPU_RINGS_MAX + q]), slots);
  }
  regions_[id].emplace(Region{std::move(mapping), std::move(*registration)});
  bytes_[id] = layout.region_bytes;
  base_[id] = base;
  return {};
}

void Regions::Remove(uint32_t id) {
  if (id >= kRegionsMax) return;
  base_[id] = 0;
  bytes_[id] = 0;
  regions_[id].reset();
}

}  // namespace vgpu::engine
