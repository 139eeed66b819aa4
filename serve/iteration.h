// SPDX-License-Identifier: Apache-2.0
// What everything that a loop does in one iteration has in common.
#ifndef VGPU_SERVE_ITERATION_H_
#define VGPU_SERVE_ITERATION_H_

#include <cstdint>

namespace vgpu::serve {

// Steps in the life of a request, for a trace.
enum class TraceEvent : uint8_t { kTaken, kStarted, kPiece, kAnswered, kDoneByGpu };

// Names a ring in a trace.
struct RingName {
  uint32_t vm_id = 0;
  uint8_t ring = 0;
  uint8_t priority = 0;
};

// Where steps are recorded. Called by the thread that serves the ring; must not wait.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  // `idx`: of the request in its ring; of a piece, its first element. `code`: kAnswered only.
  virtual void Add(const RingName& name, TraceEvent event, uint32_t idx, uint8_t code, int64_t time_ns) = 0;
};

struct Iteration {
  int64_t now_ns = 0;          // steady clock, read once
  TraceSink* trace = nullptr;  // null: nobody traces
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_ITERATION_H_
