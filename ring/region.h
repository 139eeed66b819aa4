// SPDX-License-Identifier: Apache-2.0
// A region and its rings file: made, laid over each other, read.
#ifndef VGPU_RING_REGION_H_
#define VGPU_RING_REGION_H_

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ring/abi.h"

namespace vgpu::ring {

// Lays a rings file (abi.h) over the region that is mapped at `region`. Guard or populate the mapping's pages
// afterwards, not before. On an error the mapping must not be used.
base::Result<void> OverlayRings(char* region, const vgpu_layout& layout, int rings_fd);

// A region that its owner may attach: two sealed memfds, and one mapping in which the rings file covers its
// part of the region. Every page is present, and the header is filled.
struct OwnedRegion {
  base::UniqueFd fd;
  base::UniqueFd rings_fd;
  base::Mapping mapping;
};
base::Result<OwnedRegion> MakeOwnedRegion(const vgpu_layout& layout);

// Reads a region's header as a guest does, which trusts the region's owner but not its version. Returns the
// layout that vgpu_layout_make computes, or an error if the header differs from it.
base::Result<vgpu_layout> ReadLayout(const base::Mapping& region);

}  // namespace vgpu::ring

#endif  // VGPU_RING_REGION_H_
