// SPDX-License-Identifier: Apache-2.0
// The order of service, proven record by record from the daemon's trace: strict priority, turns inside a
// class, first in first out on a ring. Nothing here depends on time.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "mediator/process/trace.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

using mediator::ReadTrace;
using mediator::TraceEvent;
using mediator::TraceEventName;
using mediator::TraceRecord;

constexpr uint32_t kLow = 0, kMedium = 1, kHigh = 2;
constexpr uint64_t kLongCount = 5 * 32768;  // i32
constexpr uint32_t kLongPieces = 5;

// What the trace says of one VM's ring at one moment.
struct Ring {
  uint32_t priority = 0;
  std::deque<uint32_t> waiting;  // taken, not started
  bool running = false;
  uint32_t pieces_left = 0;
  // Does it wait for a turn? A ring whose request is wholly handed out waits for that one's end first.
  bool Wants() const { return running ? pieces_left != 0 : !waiting.empty(); }
};

// Replays a trace and checks every decision of the scheduler in it.
class Replay {
 public:
  // `pieces`: of each request; 0 where the loop runs them itself.
  explicit Replay(uint32_t pieces) : pieces_(pieces) {}

  // "" or what is wrong.
  std::string Step(const TraceRecord& record) {
    Ring& ring = rings_[record.vm_id];
    ring.priority = record.priority;
    switch (record.event) {
      case TraceEvent::kTaken: ring.waiting.push_back(record.idx); return "";
      case TraceEvent::kStarted:
        if (ring.running) return "started before the one before it ended";
        if (ring.waiting.empty() || ring.waiting.front() != record.idx) return "not first in, first out";
        if (pieces_ == 0) return Turn(record.vm_id, [&] { ring.waiting.pop_front(); });
        return "";
      case TraceEvent::kPiece:
        return Turn(record.vm_id, [&] {
          if (ring.running) {
            --ring.pieces_left;
            return;
          }
          ring.running = true;
          ring.waiting.pop_front();
          ring.pieces_left = pieces_ - 1;
        });
      case TraceEvent::kAnswered:
        ring.running = false;
        return ring.pieces_left == 0 ? "" : "answered before its last piece";
      case TraceEvent::kDoneByGpu: return "this daemon has no GPU";
    }
    return "an unknown event";
  }

  // Decisions that preferred one VM to another one of a lower class that waited;
  // and to one of the same class.
  uint64_t contended() const { return contended_; }
  uint64_t shared() const { return shared_; }

 private:
  std::string Turn(uint32_t vm_id, const std::function<void()>& take) {
    const Ring& ring = rings_[vm_id];
    if (!ring.Wants()) return "a turn for who has no work";
    for (const auto& [other_id, other] : rings_) {
      if (other_id == vm_id || !other.Wants()) continue;
      if (other.priority > ring.priority)
        return "before VM " + std::to_string(other_id) + " of a higher class";
      if (other.priority < ring.priority) {
        ++contended_;
      } else {
        ++shared_;
        // Who waited since this VM's last turn has been passed over.
        if (waited_since_turn_of_[vm_id].contains(other_id))
          return "twice, while VM " + std::to_string(other_id) + " waited";
      }
    }
    take();
    NoteWaiting(vm_id);
    return "";
  }

  // Who of the same class waits now, at this turn; whoever has a turn, or no work any more, is struck off.
  void NoteWaiting(uint32_t vm_id) {
    auto& waits = waited_since_turn_of_[vm_id];
    waits.clear();
    for (const auto& [id, other] : rings_) {
      if (id != vm_id && other.Wants() && other.priority == rings_[vm_id].priority) waits[id] = true;
    }
    for (auto& [id, others] : waited_since_turn_of_) others.erase(vm_id);
  }

  const uint32_t pieces_;
  std::map<uint32_t, Ring> rings_;
  std::map<uint32_t, std::map<uint32_t, bool>> waited_since_turn_of_;
  uint64_t contended_ = 0;
  uint64_t shared_ = 0;
};

class OrderTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string config = folder_ / "config.toml";
    WriteFile(config, "workers = 1\n[trace]\nfile = \"" + trace_ + "\"\nrecords = 4000000\n");
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = {"--config", config}, .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  }

  // A VM that keeps `batch` requests of its own kind going until *stop, or for `rounds` rounds.
  void Work(uint32_t vm_id, uint32_t priority, uint32_t batch, bool long_ones, int rounds,
            const std::atomic<bool>* stop) {
    Owner owner({.vm_id = vm_id, .priority = priority, .region_bytes = 4 << 20});
    ASSERT_TRUE(owner.Attach(daemon_->socket()));
    Guest guest(&owner, 0);
    guest.Open();
    for (int round = 0; round < rounds && !*stop; ++round) {
      uint32_t last = 0;
      for (uint32_t i = 0; i < batch; ++i) {
        last = long_ones ? guest.Stage(VGPU_OP_VECTOR_ADD, 0, {kLongCount, 0, 4 * kLongCount, 8 * kLongCount})
                         : guest.Add(round, static_cast<int32_t>(i));
      }
      guest.Flush();
      for (uint32_t idx = last + 1 - batch; idx != last + 1; ++idx) {
        ring::Answer answer{};
        ASSERT_EQ(guest.Await(idx, &answer), Outcome::kDone);
        ASSERT_EQ(answer.code, VGPU_OK);
      }
    }
  }

  // Replays the whole trace; fails at the first wrong decision.
  void CheckTrace(Replay* replay) {
    daemon_->Signal(SIGTERM);
    ASSERT_EQ(daemon_->Join(), 0);
    uint64_t dropped = 0;
    const auto records = ReadTrace(trace_, &dropped);
    ASSERT_TRUE(records.has_value()) << records.error();
    ASSERT_EQ(dropped, 0u) << "the trace is too short for this test";
    for (size_t i = 0; i < records->size(); ++i) {
      const TraceRecord& record = (*records)[i];
      ASSERT_EQ(replay->Step(record), "") << "record " << i << ": VM " << record.vm_id << ", request "
                                          << record.idx << ", " << TraceEventName(record.event);
    }
  }

  const TempFolder folder_;
  const std::string trace_ = folder_ / "trace";
  std::unique_ptr<Daemon> daemon_;
};

// Low and medium never stop submitting; high comes again and again.
TEST_F(OrderTest, LongVectors_StrictPriority) {
  std::atomic<bool> stop{false};
  const std::atomic<bool> never{false};
  std::thread low([&] { Work(1, kLow, 32, true, 1'000'000, &stop); });
  std::thread medium([&] { Work(2, kMedium, 2, true, 100, &never); });
  Work(3, kHigh, 2, true, 100, &never);
  medium.join();
  stop = true;
  low.join();
  Replay replay(kLongPieces);
  CheckTrace(&replay);
  EXPECT_GT(replay.contended(), 100u) << "the classes hardly met: this test proves little";
}

TEST_F(OrderTest, LongVectors_TurnsInsideAClass) {
  const std::atomic<bool> never{false};
  std::thread first([&] { Work(1, kMedium, 8, true, 40, &never); });
  std::thread second([&] { Work(2, kMedium, 16, true, 20, &never); });
  Work(3, kMedium, 32, true, 10, &never);
  first.join();
  second.join();
  Replay replay(kLongPieces);
  CheckTrace(&replay);
  EXPECT_GT(replay.shared(), 100u) << "the VMs hardly met: this test proves little";
}

TEST_F(OrderTest, ShortRequests_StrictPriority) {
  std::atomic<bool> stop{false};
  const std::atomic<bool> never{false};
  std::thread low([&] { Work(1, kLow, 32, false, 8'000, &stop); });
  std::thread medium([&] { Work(2, kMedium, 32, false, 8'000, &stop); });
  Work(3, kHigh, 32, false, 2'000, &never);
  stop = true;
  low.join();
  medium.join();
  Replay replay(0);
  CheckTrace(&replay);
  EXPECT_GT(replay.contended(), 0u) << "the classes never met: this test proves nothing";
}

// The checker itself: a wrong order must not pass.
TEST(ReplayTest, WrongOrders_AreFound) {
  const auto record = [](uint32_t vm, uint32_t priority, uint32_t idx, TraceEvent event) {
    return TraceRecord{0, vm, idx, 0, static_cast<uint8_t>(priority), event, 0, 0};
  };
  const auto last = [](Replay replay, std::vector<TraceRecord> records) {
    std::string error;
    for (const TraceRecord& each : records) error = replay.Step(each);
    return error;
  };
  const TraceRecord low_taken = record(1, kLow, 0, TraceEvent::kTaken),
                    low_piece = record(1, kLow, 0, TraceEvent::kPiece);
  const TraceRecord high_taken = record(2, kHigh, 0, TraceEvent::kTaken);
  const TraceRecord high_piece = record(2, kHigh, 0, TraceEvent::kPiece);
  EXPECT_EQ(last(Replay(2), {low_taken, low_piece, high_taken, high_piece, high_piece, low_piece}), "");
  EXPECT_EQ(last(Replay(2), {low_taken, high_taken, low_piece}), "before VM 2 of a higher class");
  EXPECT_EQ(last(Replay(3), {low_taken, low_piece, high_taken, high_piece, low_piece}),
            "before VM 2 of a higher class");
  const TraceRecord peer_taken = record(3, kLow, 0, TraceEvent::kTaken),
                    peer_piece = record(3, kLow, 0, TraceEvent::kPiece);
  EXPECT_EQ(last(Replay(3), {low_taken, peer_taken, low_piece, peer_piece, low_piece}), "");
  EXPECT_EQ(last(Replay(3), {low_taken, peer_taken, low_piece, low_piece}), "twice, while VM 3 waited");
  EXPECT_EQ(last(Replay(1), {low_taken, record(1, kLow, 1, TraceEvent::kTaken),
                             record(1, kLow, 1, TraceEvent::kStarted)}),
            "not first in, first out");
}

}  // namespace
}  // namespace vgpu::test
