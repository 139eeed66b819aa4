// SPDX-License-Identifier: Apache-2.0
// Guests that are processes of their own and hold nothing but their region and eventfds. They are told what
// to do, and say how far they are, in a file that they map; each runs this same program as `gpu guest`.
#ifndef VGPU_BENCH_SUBJECTS_OURS_GUESTS_H_
#define VGPU_BENCH_SUBJECTS_OURS_GUESTS_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/vector_requests.h"

namespace vgpu::bench {

inline constexpr uint32_t kGuestsMax = 64;

// What a guest is, and asks for: ADDs, `depth` outstanding, or vectors.
struct GuestPlan {
  uint32_t vm_id = 0;
  uint32_t priority = 1;
  uint64_t region_bytes = 1 << 20;  // of those that ask for ADDs
  uint32_t depth = 1;
  uint32_t pause_us = 0;  // between two ADDs, with depth 1
  bool vectors = false;
  VectorPlan vector;
};

enum class Command : uint32_t { kRest, kWork };
enum class Ready : uint32_t { kNo, kYes, kFailed };

// Written by the benchmark: what to do. Written by the guest: what it did.
struct GuestPlace {
  alignas(128) GuestPlan plan;
  std::atomic<Command> command{Command::kRest};
  // Steady clock, ns; not 0: the longest time without an answer is looked for that begins between these.
  std::atomic<uint64_t> watch_since{0};
  std::atomic<uint64_t> watch_until{0};

  alignas(128) std::atomic<Ready> ready{Ready::kNo};
  std::atomic<bool> resting{true};
  std::atomic<uint64_t> answered{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> gap_ns{0};  // the longest time without an answer, and when it ended
  std::atomic<uint64_t> gap_end_ns{0};
};

struct Board {
  char socket[128] = {};
  GuestPlace places[kGuestsMax];
};

inline uint64_t SteadyNs() {
  return static_cast<uint64_t>(guest::Clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

class Guests {
 public:
  // Starts them and waits until all are attached and have had a right answer.
  static Result<std::unique_ptr<Guests>> Start(const MediatorProcess& mediator,
                                               const std::vector<GuestPlan>& plans);
  ~Guests();

  size_t size() const { return children_.size(); }
  GuestPlace& place(size_t i) const { return board_->places[i]; }
  // The first `count` work, until they are told to rest. Rest returns when all do; an error if one has ended.
  void Work(size_t count);
  Result<void> Rest();
  // Of all together, so far.
  Answers Total() const;

 private:
  Guests() = default;
  Result<void> AwaitAll(bool (*done)(const GuestPlace&), const char* what) const;

  TempDir folder_;
  base::Mapping mapping_;
  Board* board_ = nullptr;
  std::vector<Child> children_;
};

// `gpu guest`: the process itself. Works until it is killed.
int RunGuest(const std::string& board_file, uint32_t place);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_GUESTS_H_
