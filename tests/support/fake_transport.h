// SPDX-License-Identifier: Apache-2.0
// For tests: a region in this process, and a thread that plays the mediator on one of
// its rings, well or badly.
#ifndef VGPU_TESTS_SUPPORT_FAKE_TRANSPORT_H_
#define VGPU_TESTS_SUPPORT_FAKE_TRANSPORT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "base/mapping.h"
#include "base/unique_fd.h"
#include "guest/transport.h"
#include "ring/consumer.h"
#include "ring/memory.h"
#include "ring/ring_ref.h"

namespace vgpu::guest {

struct FakeOptions {
  uint32_t rings = 2;
  uint32_t entries = 8;
  uint64_t region_bytes = 1u << 20;
  bool can_sleep = true;
};

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(const FakeOptions& options);

  Result<void> ClaimRing(uint32_t ring) override;
  void ReleaseRing(uint32_t ring) override;
  void Kick(uint32_t ring) override;
  bool can_sleep() const override { return options_.can_sleep; }
  // No rescue: only a call, a change of the link or the deadline ends it.
  Wake SleepUntilCall(uint32_t ring, TimePoint deadline) override;
  uint32_t ring_state() override { return state_.load(); }
  bool gone() const override { return gone_.load(); }
  Error WhyUnattached(std::string otherwise) override {
    return Unattached(refusal_.load(), std::move(otherwise));
  }
  Result<void> AwaitLink(TimePoint deadline) override;
  Identity identity() const override { return {7, 'A', 1}; }
  std::string description() const override { return "a fake device"; }

  // The mediator's side.
  void SetState(uint32_t state);
  void SetGone() { gone_.store(true); }
  void SetRefusal(uint32_t code) { refusal_.store(code); }
  int kick_fd(uint32_t ring) const { return kicks_[ring].get(); }
  void Call(uint32_t ring);
  ring::RingRef<ring::RealMemory> RingAt(uint32_t ring) const;
  char* ArenaOf(uint32_t ring) const;

  // A transport without a region, as of a device with ring=off.
  void DropRegion() { region_ = nullptr; }

 private:
  const FakeOptions options_;
  base::UniqueFd memory_;
  base::Mapping map_;
  std::vector<base::UniqueFd> kicks_;
  std::vector<base::UniqueFd> calls_;
  base::UniqueFd link_changed_;
  std::vector<std::atomic<bool>> claimed_;
  std::atomic<uint32_t> state_{VGPU_RING_STATE_ATTACHED};
  std::atomic<uint32_t> refusal_{VGPU_OK};
  std::atomic<bool> gone_{false};
};

enum class Manner : uint8_t {
  kGood,
  kSilent,        // takes requests, and never answers
  kBackwards,     // answers whatever has gathered, newest first
  kWrong,         // sums are off by one, of a vector the first
  kRefuses,       // answers VGPU_ERR_UNSUPPORTED
  kFences,        // ends the session at the first request
  kOpensNothing,  // does not even open rings
  kFencesOpen,    // answers an open with "fenced"
};

// Serves one ring on a thread of its own, which really sleeps between requests. `memory` of an earlier one
// goes on where that one ended, as a journal makes a mediator do.
class FakeMediator {
 public:
  struct Memory {
    uint64_t epoch = 0;  // the epoch_req carried out last
    uint32_t cons = 0;
    uint32_t completed = 0;
  };

  FakeMediator(FakeTransport* transport, uint32_t ring, Manner manner)
      : FakeMediator(transport, ring, manner, {}) {}
  FakeMediator(FakeTransport* transport, uint32_t ring, Manner manner, Memory memory);
  ~FakeMediator() { Stop(); }

  // Ends the thread. Requests that it took and did not answer are forgotten: the next one takes them again.
  Memory Stop();

  void SetManner(Manner manner);
  // Holds answers back until the guest has armed its call.
  void WaitForSleeper(bool wait) { wait_for_sleeper_.store(wait); }

 private:
  void Run();
  void CarryOutEpoch();
  void ServeRequests();
  void Answer(uint32_t idx, const ring::SlotCopy& request);
  void Sleep();

  FakeTransport* const transport_;
  const uint32_t ring_idx_;
  const ring::RingRef<ring::RealMemory> ring_;
  std::atomic<Manner> manner_;
  std::atomic<bool> wait_for_sleeper_{false};
  std::atomic<bool> stop_{false};
  base::UniqueFd nudge_;  // to stop, or to look again
  Memory memory_;
  ring::Consumer<ring::RealMemory> consumer_;
  std::vector<std::pair<uint32_t, ring::SlotCopy>> taken_;
  std::thread thread_;
};

}  // namespace vgpu::guest

#endif  // VGPU_TESTS_SUPPORT_FAKE_TRANSPORT_H_
