// SPDX-License-Identifier: Apache-2.0
// Vectors over the ring, in a VM.
#ifndef VGPU_BENCH_SUBJECTS_OURS_RING_WAY_H_
#define VGPU_BENCH_SUBJECTS_OURS_RING_WAY_H_

#include <memory>

#include "bench/lib/vector_way.h"

namespace vgpu::bench {

enum class RingOperands : unsigned char {
  kCopied,   // from this program's own memory into the arena, the sums back: timed, too
  kInArena,  // where a program lets them lie that knows of the arena: nothing is copied
};

// Of the device, ring 0. Throws what the client says.
std::unique_ptr<VectorWay> MakeRingWay(RingOperands operands);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_RING_WAY_H_
