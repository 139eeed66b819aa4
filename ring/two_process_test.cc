// SPDX-License-Identifier: Apache-2.0
// Two guest processes on two rings of one region, each of which maps its own ring and nothing else, and one
// process that serves both. Everybody sleeps when there is nothing to do; no sleep has a time-out that would
// let it go on.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include "api/codes.h"
#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "ring/epoch.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {
namespace {

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr uint32_t kEntries = 16;
constexpr uint32_t kGuests = 2;
constexpr uint32_t kRequests = 20'000;  // of each guest
constexpr int kLostMs = 60'000;         // whoever sleeps longer has missed its wake-up

enum GuestExit : int { kAllRight = 0, kNoMapping, kLostWakeup, kWrongAnswer };

class Eventfd {
 public:
  Eventfd() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  int fd() const { return fd_.get(); }
  void Write() const { eventfd_write(fd_.get(), 1); }
  void Drain() const {
    eventfd_t count;
    eventfd_read(fd_.get(), &count);
  }
  // Sleeps until there was a write. False: the wake-up was lost.
  bool Read() const {
    pollfd wait = {fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, kLostMs) != 1) return false;
    Drain();
    return true;
  }

 private:
  base::UniqueFd fd_;
};

struct Doorbells {
  Eventfd kick;
  Eventfd call;
};

// The result of a request: depends on the ring, so that answers of the other one are found out.
uint32_t ResultOf(uint32_t ring, uint32_t operand) { return operand * 2654435761u + ring; }

// One guest process. Operands travel in the slot and, complemented, in the arena,
// where the result comes back too.
class Guest {
 public:
  Guest(char* ring, const vgpu_layout& layout, uint32_t q, const Doorbells* bells)
      : q_(q),
        ref_(RingAt(ring, kEntries)),
        arena_(reinterpret_cast<uint32_t*>(ring + layout.arena_off)),
        bells_(bells) {}

  int Run() {
    uint32_t epoch;
    if (!Ask(true, VGPU_EPOCH_OPEN, &epoch)) return kLostWakeup;
    Producer<RealMemory> producer(ref_, epoch);
    uint32_t seed = 1 + q_;
    while (producer.oldest() != kRequests) {
      seed = seed * 1664525u + 1013904223u;
      const uint32_t batch = 1 + seed / 65536u % kEntries;
      for (uint32_t i = 0; i < batch && !producer.full() && producer.prod() != kRequests; ++i)
        Stage(&producer);
      if (producer.Publish()) bells_->kick.Write();
      const int taken = TakeAll(&producer);
      if (taken < 0) return kWrongAnswer;
      if (taken == 0 && producer.ArmCall() && !bells_->call.Read()) return kLostWakeup;
    }
    return Ask(false, VGPU_EPOCH_CLOSED, &epoch) ? kAllRight : kLostWakeup;
  }

 private:
  bool Ask(bool open, uint32_t wanted, uint32_t* epoch) {
    *epoch = RequestEpoch(ref_, open);
    bells_->kick.Write();
    uint32_t state;
    while (!EpochAnswered(ref_, *epoch, &state)) {
      if (!bells_->call.Read()) return false;
    }
    return state == wanted;
  }

  void Stage(Producer<RealMemory>* producer) {
    const uint32_t idx = producer->prod();
    const uint64_t operand = idx * 7;
    arena_[idx % kEntries] = static_cast<uint32_t>(~operand);
    producer->Stage(VGPU_OP_ADD, VGPU_TYPE_I32, &operand, 1);
  }

  // How many answers came, or -1 if one was wrong.
  int TakeAll(Producer<RealMemory>* producer) {
    int taken = 0;
    const uint32_t end = producer->prod();
    for (uint32_t idx = producer->oldest(); idx != end; ++idx) {
      Answer answer;
      if (!producer->Take(idx, &answer)) continue;
      ++taken;
      const uint32_t expected = ResultOf(q_, idx * 7);
      if (answer.code != VGPU_OK || answer.data != expected || arena_[idx % kEntries] != expected + 1)
        return -1;
    }
    return taken;
  }

  const uint32_t q_;
  const RingRef<RealMemory> ref_;
  uint32_t* const arena_;
  const Doorbells* const bells_;
};

// The mediator's side of one ring.
class Server {
 public:
  Server(char* ring, const vgpu_layout& layout, uint32_t q, const Doorbells* bells)
      : q_(q),
        ref_(RingAt(ring, kEntries)),
        arena_(reinterpret_cast<uint32_t*>(ring + layout.arena_off)),
        bells_(bells) {}

  uint32_t served() const { return served_; }
  bool closed() const { return served_ != 0 && !consumer_; }
  int kick_fd() const { return bells_->kick.fd(); }
  void DrainKick() const { bells_->kick.Drain(); }

  // Does all there is to do. True: it is safe to sleep until the kick.
  bool Iterate() {
    const uint64_t asked = RequestedEpoch(ref_);
    if (asked != carried_out_) CarryOut(asked);
    if (!consumer_) return true;
    SlotCopy copy;
    uint32_t in_flight = 0;
    while (in_flight < kEntries && consumer_->Take(&copy))
      operands_[in_flight++] = static_cast<uint32_t>(copy.arg[0]);
    for (uint32_t i = in_flight; i-- > 0;)
      AnswerOne(consumer_->cons() - in_flight + i, operands_[i]);  // backwards
    if (consumer_->NeedCall()) bells_->call.Write();
    return in_flight == 0 && consumer_->ArmKick();
  }

 private:
  void CarryOut(uint64_t asked) {
    consumer_.reset();
    AnswerEpoch(ref_, vgpu_word_seq(asked), vgpu_word_data(asked));
    carried_out_ = asked;
    if (vgpu_word_data(asked) == VGPU_EPOCH_OPEN) consumer_.emplace(ref_, vgpu_word_seq(asked));
    bells_->call.Write();
  }

  void AnswerOne(uint32_t idx, uint32_t operand) {
    uint32_t* const cell = &arena_[idx % kEntries];
    const bool whole = *cell == ~operand;
    *cell = ResultOf(q_, operand) + 1;
    consumer_->Complete(idx, {whole ? VGPU_OK : VGPU_ERR_INVALID_REQUEST, ResultOf(q_, operand)});
    ++served_;
  }

  const uint32_t q_;
  const RingRef<RealMemory> ref_;
  uint32_t* const arena_;
  const Doorbells* const bells_;
  uint64_t carried_out_ = 0;
  std::optional<Consumer<RealMemory>> consumer_;
  uint32_t operands_[kEntries] = {};
  uint32_t served_ = 0;
};

pid_t StartGuest(int region_fd, const vgpu_layout& layout, uint32_t q, const Doorbells* bells) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto offset = static_cast<off_t>(layout.ring_off + q * layout.ring_stride);
  void* const ring = mmap(nullptr, layout.ring_stride, PROT_READ | PROT_WRITE, MAP_SHARED, region_fd, offset);
  if (ring == MAP_FAILED) _exit(kNoMapping);
  _exit(Guest(static_cast<char*>(ring), layout, q, bells).Run());
}

// Serves both rings until both are closed. False: the wake-up was lost.
bool Serve(Server* one, Server* other) {
  while (!one->closed() || !other->closed()) {
    bool idle = one->Iterate();
    idle = other->Iterate() && idle;
    if (!idle || (one->closed() && other->closed())) continue;
    pollfd wait[] = {{one->kick_fd(), POLLIN, 0}, {other->kick_fd(), POLLIN, 0}};
    if (poll(wait, 2, kLostMs) <= 0) return false;
    one->DrainKick();
    other->DrainKick();
  }
  return true;
}

TEST(TwoProcesses, TwoRingsOfOneRegion_EveryAnswerIsRight) {
  const base::Result<base::UniqueFd> fd = base::MakeSealedMemfd("two_process_test", kRegionBytes);
  ASSERT_TRUE(fd.has_value()) << fd.error();
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kRegionBytes, kGuests, kEntries, &layout), 0);
  const Doorbells bells[kGuests];
  pid_t guests[kGuests];
  for (uint32_t q = 0; q < kGuests; ++q) {
    guests[q] = StartGuest(fd->get(), layout, q, &bells[q]);
    ASSERT_GT(guests[q], 0);
  }

  const base::Result<base::Mapping> region = base::MapShared(fd->get(), kRegionBytes);
  ASSERT_TRUE(region.has_value()) << region.error();
  char* const rings = region->data() + layout.ring_off;
  Server one(rings, layout, 0, &bells[0]);
  Server other(rings + layout.ring_stride, layout, 1, &bells[1]);
  EXPECT_TRUE(Serve(&one, &other)) << "the server missed a kick";
  EXPECT_EQ(one.served(), kRequests);
  EXPECT_EQ(other.served(), kRequests);
  for (const pid_t guest : guests) {
    if (HasFailure()) kill(guest, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(guest, &status, 0), guest);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), kAllRight) << "1: no mapping, 2: missed a call, 3: wrong answer";
  }
}

}  // namespace
}  // namespace vgpu::ring
