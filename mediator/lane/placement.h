// SPDX-License-Identifier: Apache-2.0
// Where a session's requests run. Everybody reads it; only Placements (placements.h) can write it.
#ifndef VGPU_MEDIATOR_LANE_PLACEMENT_H_
#define VGPU_MEDIATOR_LANE_PLACEMENT_H_

#include <cassert>
#include <cstdint>

#include "base/published.h"

namespace vgpu::mediator {

// The life of a placement.
enum class PlacementState : uint8_t {
  kUnplaced,   // it has no GPU: the CPU serves it
  kWaiting,    // the CPU stands in until an engine of its GPU can use its memory
  kParked,     // the CPU stands in: its GPU has no engine until a request wants one
  kServed,     // its GPU serves it
  kRefused,    // its GPU cannot use its memory, or must not: the CPU serves it
  kReleasing,  // the session ends, or moves to another lane; engines may still have its memory
};

inline constexpr bool MayFollow(PlacementState from, PlacementState to) {
  using State = PlacementState;
  switch (from) {
    case State::kUnplaced: return to == State::kWaiting || to == State::kParked || to == State::kRefused;
    case State::kWaiting: return to != State::kUnplaced && to != State::kWaiting;
    case State::kParked: return to == State::kWaiting || to == State::kRefused || to == State::kReleasing;
    case State::kServed: return to != State::kUnplaced && to != State::kServed;
    case State::kRefused: return to == State::kServed || to == State::kReleasing;
    case State::kReleasing: return to == State::kUnplaced;
  }
  return false;
}

class Placement {
 public:
  static constexpr uint32_t kNone = ~0u;

  // Changes placements (below).
  class Writer;

  Placement() = default;
  Placement(const Placement&) = delete;
  Placement& operator=(const Placement&) = delete;

  // ---- any thread ----

  PlacementState state() const { return state_; }
  // Its GPU has the region registered, and serves it.
  bool on_device() const { return state() == PlacementState::kServed; }
  bool parked() const { return state() == PlacementState::kParked; }
  // Of its GPU, as the driver counts; -1: it has none.
  int ordinal() const { return ordinal_; }

  // ---- the thread that has the session ----

  // Its GPU, as the backend counts; kNone: it has none.
  uint32_t gpu() const { return gpu_; }
  // The number of its region with the engines of its GPU; kNone: it has none.
  uint32_t region() const { return region_; }

 private:
  base::Published<PlacementState> state_ = PlacementState::kUnplaced;
  base::Published<int> ordinal_ = -1;
  uint32_t gpu_ = kNone;
  uint32_t region_ = kNone;
};

// Whoever writes placements derives from this. In the product that is Placements (placements.h) alone:
// tests/tidy checks it.
class Placement::Writer {
 protected:
  Writer() = default;
  ~Writer() = default;

  // Needs a placement without a GPU.
  static void Assign(Placement* placement, uint32_t gpu, int ordinal, uint32_t region, PlacementState state) {
    assert(placement->state() == PlacementState::kUnplaced);
    placement->gpu_ = gpu;
    placement->ordinal_ = ordinal;
    placement->region_ = region;
    Become(placement, state);
  }

  static void Become(Placement* placement, PlacementState to) {
    assert(MayFollow(placement->state(), to));
    placement->state_ = to;
  }

  // No engine has the memory any more. Needs kReleasing.
  static void Clear(Placement* placement) {
    Become(placement, PlacementState::kUnplaced);
    placement->gpu_ = placement->region_ = kNone;
    placement->ordinal_ = -1;
  }
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_PLACEMENT_H_
