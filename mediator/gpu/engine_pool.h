// SPDX-License-Identifier: Apache-2.0
// The engines of one GPU: when one is started, promoted, retired and replaced, and when the GPU is parked.
// Pure: the owner says what has happened and when, and carries out what comes back. Nothing here knows a
// process, a descriptor, a session or a clock.
//
// There are two roles. The *current* engine does the work. The *spare* one is warm, and is promoted when the
// current one fails. An engine that has failed, or that nobody wants any more, is *retired*: killed at once,
// and gone when the owner says so. While a retired engine is not gone, the one that works is its *successor*.
//
// A GPU whose current engine has been idle, or whose engines do not live, is *parked*: it has no engine until
// a request wants one.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_POOL_H_
#define VGPU_MEDIATOR_GPU_ENGINE_POOL_H_

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace vgpu::mediator {

// The life of one engine.
enum class EngineLife : uint8_t {
  kAbsent,     // its place is free
  kStarting,   // ordered
  kCancelled,  // ordered, but the GPU was parked meanwhile: it is retired as soon as it has been started
  kLoading,    // its process is there, and not ready
  kServing,    // it is ready: as the current one it works, as the spare one it waits
  kRetired,    // killed, and not gone: it may still write
};
bool MayFollow(EngineLife from, EngineLife to);
// Needs MayFollow(*life, to).
void Move(EngineLife* life, EngineLife to);

// The engines of a GPU as a whole.
enum class GpuUse : uint8_t {
  kInUse,
  kParked,  // no engine is wanted
  kWanted,  // it was parked, and a request wants it: engines are started when the old ones are gone
};
bool MayFollow(GpuUse from, GpuUse to);
void Move(GpuUse* use, GpuUse to);

// An engine's place in its pool. It is used again when the engine is gone.
using EngineId = uint32_t;
inline constexpr EngineId kNoEngine = ~0u;

// What the owner of a pool has to do, or to say.
struct EngineAction {
  enum class Kind : uint8_t {
    kStart,         // start `engine`, to be the current one; it touches the GPU after `delay_ms`
    kStartSpare,    // the same, to be the spare one
    kKill,          // `engine` is retired. Gone() is due when its process has ended
    kServe,         // `engine` is ready: regions can be registered with it
    kFound,         // `engine` is the first one of this GPU that was ever ready
    kReady,         // say: the current engine is ready, after no failure
    kRecovered,     // say: the current engine is ready, after failures
    kLost,          // the current engine has failed: its VMs go on with the CPU
    kSpareLost,     // say: the spare engine has failed
    kSpareGivenUp,  // say: the spare engine has failed before it was ready, and there will be none
    kPromote,       // `engine` was the spare one and has become the current one
    kStayAwake,     // the idle time of `engine` begins again
    kPark,          // the GPU is parked
    kParkFailing,   // the same, because no engine lives
    kUnpark,        // the GPU is in use again
  };
  Kind kind = Kind::kStart;
  EngineId engine = kNoEngine;
  int delay_ms = 0;
};

// In the order in which they are to be carried out. What speaks to an engine comes last: that engine may turn
// out to have failed, and Failed() is called meanwhile.
class EngineActions {
 public:
  static constexpr size_t kMax = 6;

  void Add(const EngineAction& action) {
    assert(size_ < kMax);
    actions_[size_++] = action;
  }
  bool empty() const { return size_ == 0; }
  const EngineAction* begin() const { return actions_.data(); }
  const EngineAction* end() const { return actions_.data() + size_; }

 private:
  std::array<EngineAction, kMax> actions_{};
  size_t size_ = 0;
};

struct EnginePoolOptions {
  bool spare = true;
  uint32_t park_s = 0;      // an engine says that it is idle after so many seconds
  uint32_t timeout_ms = 0;  // what is in flight for longer means that the engine hangs
};

// One thread's. Nothing is allocated. Times are ns: `now_ns` of a clock that always runs, `watched_ns`
// of one that stands still while nobody looks (watched_clock.h).
class EnginePool {
 public:
  // Of all lives but kAbsent. A retired engine whose process does not end keeps its place.
  static constexpr uint32_t kEnginesMax = 260;
  // The longest delay of a start, and how long a GPU whose engines do not live is parked at least.
  static constexpr int kDelayMaxMs = 30'000;

  // Not `found`: it is not known yet whether the GPU is there. Such a GPU begins parked.
  EnginePool(const EnginePoolOptions& options, bool found);

  // ---- what has happened ----

  // The owner has started an engine by itself, and it is ready. Needs a pool without engines, in use.
  EngineId AddReady(int64_t now_ns);
  // Something that may have stood in the way of a start is gone.
  EngineActions Replenish();
  // The start of `engine` has succeeded: its process is there; or it has failed.
  EngineActions Started(EngineId engine);
  EngineActions StartRefused(EngineId engine, int64_t now_ns);
  // These say nothing new of an engine that is retired.
  EngineActions Ready(EngineId engine, int64_t now_ns);
  EngineActions Failed(EngineId engine, int64_t now_ns);
  // It says that it was idle. `at_rest`: nothing is in flight, and it has answered all that it was asked.
  EngineActions Idle(EngineId engine, bool at_rest, int64_t now_ns);
  // A retired engine's process has ended.
  EngineActions Gone(EngineId engine, int64_t watched_ns);
  // A request wants the GPU.
  EngineActions Wanted(int64_t now_ns);
  // It is time to look whether the GPU is there.
  EngineActions Probe();

  // ---- how it stands ----

  EngineId current() const { return current_; }
  EngineId spare() const { return spare_; }
  EngineLife life(EngineId engine) const {
    assert(engine < kEnginesMax || engine == kNoEngine);
    return engine == kNoEngine ? EngineLife::kAbsent : lives_[engine];
  }
  bool Serves(EngineId engine) const { return life(engine) == EngineLife::kServing; }
  GpuUse use() const { return use_; }
  bool found() const { return found_; }
  // Is an engine still to end? A GPU may have no room for another one beside it, or takes one process only.
  bool HasRetired() const { return retired_ != 0; }
  // Something has been with the current engine since `since_ns` of the watched clock. Is that too long?
  bool IsOverdue(int64_t since_ns, int64_t watched_ns) const;

 private:
  void Become(EngineId engine, EngineLife life);
  EngineId Order();
  int DelayMs() const;
  void TakeRoleInOrder(EngineId engine);
  void LeaveRole(EngineId engine);
  void Replace(EngineActions* actions);
  void Retire(EngineId engine, EngineActions* actions);
  void Park(EngineAction::Kind kind, EngineActions* actions);
  void ParkFailing(int64_t now_ns, EngineActions* actions);
  bool UnparkIfWanted(EngineActions* actions);
  void CurrentFailed(int64_t now_ns, EngineActions* actions);
  void SpareFailed(EngineActions* actions);

  const EnginePoolOptions options_;
  std::array<EngineLife, kEnginesMax> lives_{};
  EngineId current_ = kNoEngine;
  EngineId spare_ = kNoEngine;
  uint32_t retired_ = 0;  // engines that are kRetired, or kCancelled
  GpuUse use_;
  bool found_;  // an engine of this GPU was ready once
  bool spare_given_up_ = false;
  uint32_t failures_ = 0;              // in a row
  uint32_t failed_starts_ = 0;         // engines in a row that failed before they were ready
  int64_t current_since_ns_ = 0;       // the current engine has done the work since then
  int64_t not_before_ns_ = 0;          // parked because no engine lives: the next try is not before
  int64_t none_retired_since_ns_ = 0;  // of the watched clock: its last retired engine was gone
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_POOL_H_
