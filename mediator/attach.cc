// SPDX-License-Identifier: Apache-2.0
#include "mediator/attach.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vgpu::mediator {
namespace {

tl::unexpected<Refusal> Refuse(uint32_t code, std::string text) {
  return tl::make_unexpected(Refusal{code, std::move(text)});
}

tl::expected<ring::Mapping, Refusal> MapChecked(const char* what, int fd, uint64_t bytes) {
  auto refuse = [what](const std::string& why) {
    return Refuse(VGPU_ERR_INVALID_REQUEST, fmt::format("{}: {}", what, why));
  };
  if (const auto sealed = ring::CheckSealed(fd, bytes); !sealed) return refuse(sealed.error());
  ring::Result<ring::Mapping> mapping = ring::MapShared(fd, bytes);
  if (!mapping) return refuse(mapping.error());
  if (const auto present = ring::Populate(*mapping); !present) return refuse(present.error());
  return std::move(*mapping);
}

}  // namespace

tl::expected<Grant, Refusal> CheckClaim(const vgpu_msg_attach& claim, const Config& config, vgpu_layout* layout) {
  *layout = {};
  if (claim.pool != 'A' && claim.pool != 'B') {
    return Refuse(VGPU_ERR_INVALID_POOL, "the pool is neither A nor B: set pool_id to one of them");
  }
  if (claim.priority >= kPriorities) {
    return Refuse(VGPU_ERR_INVALID_REQUEST, fmt::format("priority {} is none of 0 (low), 1, 2 (high)", claim.priority));
  }
  if (claim.ring_count == 0) {
    if (claim.region_bytes != 0) return Refuse(VGPU_ERR_INVALID_REQUEST, "a region without rings");
  } else if (vgpu_layout_make(claim.region_bytes, claim.ring_count, claim.entries, layout) != 0) {
    return Refuse(VGPU_ERR_INVALID_REQUEST,
                  fmt::format("{} rings of {} entries do not make a region of {} bytes: the size is a power of two "
                              "from 64 KiB to 64 GiB, the entries a power of two from 2 to 4096, the rings 1 to 8",
                              claim.ring_count, claim.entries, claim.region_bytes));
  }
  if (claim.region_bytes > config.region_bytes_max) {
    return Refuse(VGPU_ERR_TOO_LARGE,
                  fmt::format("a region of {} bytes is above this mediator's limit of {}: give the VM less, or raise "
                              "limits.region_bytes_max",
                              claim.region_bytes, config.region_bytes_max));
  }
  if (config.vms.empty()) return Grant{claim.vm_id, claim.pool, claim.priority};
  const auto vm = std::find_if(config.vms.begin(), config.vms.end(),
                               [&](const VmConfig& entry) { return entry.vm_id == claim.vm_id; });
  if (vm == config.vms.end()) {
    return Refuse(VGPU_ERR_INVALID_REQUEST,
                  fmt::format("VM {} is not in the mediator's configuration: add a [[vm]] entry", claim.vm_id));
  }
  return Grant{vm->vm_id, static_cast<uint32_t>(vm->pool), vm->priority};
}

tl::expected<SessionMemory, Refusal> PrepareMemory(const vgpu_layout& layout, const ring::UniqueFd& private_file,
                                                   const ring::UniqueFd& region) {
  SessionMemory memory;
  memory.layout = layout;
  auto mapped = MapChecked("the private file", private_file.get(), VGPU_PRIVATE_BYTES);
  if (!mapped) return tl::make_unexpected(std::move(mapped.error()));
  memory.private_file = std::move(*mapped);
  if (layout.ring_count == 0) return memory;
  mapped = MapChecked("the region", region.get(), layout.region_bytes);
  if (!mapped) return tl::make_unexpected(std::move(mapped.error()));
  memory.region = std::move(*mapped);
  memory.region_fd = ring::UniqueFd(fcntl(region.get(), F_DUPFD_CLOEXEC, 0));
  if (!memory.region_fd) return Refuse(VGPU_ERR_QUEUE_FULL, "the mediator has no descriptors left: raise its limit");
  return memory;
}

}  // namespace vgpu::mediator
