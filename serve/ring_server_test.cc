// SPDX-License-Identifier: Apache-2.0
#include "serve/ring_server.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "base/histogram.h"
#include "ring/abi.h"
#include "serve/test_ring.h"

namespace vgpu::serve {
namespace {

// Operations of the tests.
constexpr uint32_t kDouble = 1;   // needs its slot only; on a GPU it goes by kSlot
constexpr uint32_t kCount = 2;    // the loop runs it: arg counts the operands that it touches
constexpr uint32_t kInPlace = 3;  // likewise, and does harm if repeated
constexpr uint32_t kLong = 4;     // in pieces: arg elements; a second argument not 0: does harm if repeated
constexpr uint32_t kUnknown = 99;

struct Log {
  bool on_gpu = false;
  std::vector<uint32_t> ran;  // indices of what ran in the loop
};

struct Toy {
  struct Request : serve::Request {
    uint32_t opcode;
    uint64_t arg;
  };
  using Simple = const uint32_t*;

  Simple FindSimple(uint64_t submit) const {
    static constexpr uint32_t kFound = kDouble;
    return vgpu_word_data(submit) == kDouble ? &kFound : nullptr;
  }
  static bool HasArgument(Simple) { return true; }
  static uint32_t AnswerSimple(Simple, uint64_t arg) { return static_cast<uint32_t>(2 * arg); }
  void Decode(const ring::SlotCopy& copy, Request* request) const {
    request->opcode = vgpu_word_data(copy.submit);
    request->arg = copy.arg[0];
    request->result = request->pieces = 0;
    request->next = 0;
    request->count = request->opcode == kLong ? copy.arg[0] : 0;
    request->refused = request->opcode > kLong;
    request->code = request->refused ? VGPU_ERR_UNSUPPORTED : VGPU_OK;
    request->in_slot = request->opcode == kDouble;
    request->repeatable = request->opcode != kInPlace && !(request->opcode == kLong && copy.arg[1] != 0);
  }
  Way WayOf(const Request& request) const {
    if (request.refused) return Way::kInline;
    if (request.opcode == kLong) return Way::kPieces;
    return request.opcode == kDouble && log->on_gpu ? Way::kSlot : Way::kInline;
  }
  void Run(Request* request) const {
    log->ran.push_back(request->idx);
    request->result = static_cast<uint32_t>(2 * request->arg);
  }
  static uint32_t Cost(const Request& request) { return request.in_slot ? 1 : 2; }

  Log* log;
};

class Host final : public RingHost {
 public:
  bool MemoryLost() const override { return lost; }
  bool CallGuest() override {
    calls += may_call;
    return may_call;
  }
  bool lost = false;
  bool may_call = true;
  uint32_t calls = 0;
};

// Writes down "TAKEN 0".
class Sink final : public TraceSink {
 public:
  void Add(const RingName& name, TraceEvent event, uint32_t idx, uint8_t code, int64_t) override {
    static constexpr const char* kNames[] = {"taken", "started", "piece", "answered", "done"};
    lines.push_back(std::string(kNames[static_cast<size_t>(event)]) + " " + std::to_string(idx) +
                    (code != 0 ? " code " + std::to_string(code) : ""));
    EXPECT_EQ(name.vm_id, 7u);
  }
  std::vector<std::string> lines;
};

class RingServerTest : public testing::Test {
 protected:
  using Server = RingServer<Toy>;

  RingServerTest() { Restart(); }

  // Another process goes on with the ring.
  void Restart() {
    server_ = std::make_unique<Server>(
        RingPlace{
            ring_.base(), TestRing::kEntries, ring_.journal(), false, {7, 0, 1}, &queue_wait_, &service_},
        &host_, Toy{&log_});
    server_->Recover(iteration_);
  }
  void Finish() {
    server_->BeginIfDue();
    while (server_->in_progress() && !server_->Step(2)) {}
  }
  void Open() {
    ring_.Ask(true);
    ASSERT_TRUE(server_->CheckEpoch());
    Finish();
    ring_.Begin();
  }
  uint32_t Take(uint32_t max = 32) {
    uint32_t taken = 0;
    EXPECT_EQ(server_->Take(max, iteration_, &taken), Server::TakeStatus::kOk);
    return taken;
  }
  uint32_t Run(uint32_t max = 1000) {
    uint32_t cost = 0;
    return server_->RunInline(max, iteration_, &cost);
  }
  void ExpectAnswer(uint32_t idx, uint32_t code, uint32_t data) {
    const ring::Answer answer = ring_.Take(idx);
    EXPECT_EQ(answer.code, code) << idx;
    EXPECT_EQ(answer.data, data) << idx;
  }

  TestRing ring_;
  Host host_;
  Log log_;
  Iteration iteration_{1000, nullptr};
  base::PublishedHistogram queue_wait_, service_;
  std::unique_ptr<Server> server_;
};

TEST_F(RingServerTest, TakeThenRun_AnswersAll) {
  Open();
  for (uint32_t i = 0; i < 3; ++i) ring_.Submit(kDouble, 10 + i);
  EXPECT_TRUE(server_->Ready());
  EXPECT_EQ(Take(), 3u);
  EXPECT_EQ(server_->waiting(), 3u);
  EXPECT_EQ(Run(), 3u);
  EXPECT_TRUE(server_->idle());
  for (uint32_t i = 0; i < 3; ++i) ExpectAnswer(i, VGPU_OK, 20 + 2 * i);
  EXPECT_EQ(server_->counters().taken, 3u);
  EXPECT_EQ(server_->counters().answered, 3u);
  EXPECT_EQ(server_->counters().refused, 0u);
}

TEST_F(RingServerTest, TakeAndAnswer_DoesTheSameInOnePass) {
  Open();
  for (uint32_t i = 0; i < 3; ++i) ring_.Submit(kDouble, 10 + i);
  uint32_t taken = 0;
  EXPECT_EQ(server_->TakeAndAnswer(32, iteration_, &taken), 3u);
  EXPECT_EQ(taken, 3u);
  EXPECT_TRUE(log_.ran.empty()) << "not by way of the table";
  for (uint32_t i = 0; i < 3; ++i) ExpectAnswer(i, VGPU_OK, 20 + 2 * i);
  EXPECT_EQ(server_->counters().answered, 3u);
  EXPECT_EQ(ring_.journal()->cons, 3u);
}

TEST_F(RingServerTest, TakeAndAnswer_StopsAtAnotherKindAndRunsItIfTheLoopDoes) {
  Open();
  ring_.Submit(kDouble, 1);
  ring_.Submit(kCount, 2);
  ring_.Submit(kDouble, 3);
  uint32_t taken = 0;
  EXPECT_EQ(server_->TakeAndAnswer(32, iteration_, &taken), 2u);
  EXPECT_EQ(taken, 2u);
  ExpectAnswer(0, VGPU_OK, 2);
  ExpectAnswer(1, VGPU_OK, 4);
  ExpectAnswer(2, 255, 0);
}

TEST_F(RingServerTest, TakeAndAnswer_WhatRunsInPiecesStaysQueued) {
  Open();
  ring_.Submit(kLong, 100);
  uint32_t taken = 0;
  EXPECT_EQ(server_->TakeAndAnswer(32, iteration_, &taken), 0u);
  EXPECT_EQ(taken, 1u);
  EXPECT_FALSE(server_->idle());
  ASSERT_NE(server_->Head(), nullptr);
  EXPECT_EQ(server_->Head()->idx, 0u);
}

TEST_F(RingServerTest, UnknownOperation_IsRefusedAndCounted) {
  Open();
  const uint32_t idx = ring_.Submit(kUnknown);
  Take();
  Run();
  ExpectAnswer(idx, VGPU_ERR_UNSUPPORTED, 0);
  EXPECT_EQ(server_->counters().refused, 1u);
}

TEST_F(RingServerTest, SlotReusedBeforeItsAnswer_IsALie) {
  Open();
  for (uint32_t i = 0; i < TestRing::kEntries; ++i) ring_.Submit(kLong, 1);
  EXPECT_EQ(Take(), TestRing::kEntries);
  ring::Producer<TestRing::Memory> liar(ring_.ref(), server_->epoch(), TestRing::kEntries);
  liar.Stage(kDouble, 0, nullptr, 0);
  liar.Publish();
  uint32_t taken = 0;
  EXPECT_EQ(server_->Take(32, iteration_, &taken), Server::TakeStatus::kLied);
  EXPECT_EQ(taken, 0u);
}

TEST_F(RingServerTest, Budget_EndsARun) {
  Open();
  for (uint32_t i = 0; i < 6; ++i) ring_.Submit(kCount, 1);
  Take();
  uint32_t cost = 0;
  EXPECT_EQ(server_->RunInline(3, iteration_, &cost), 2u);
  EXPECT_EQ(cost, 4u);
  EXPECT_EQ(server_->waiting(), 4u);
}

// ---- pieces ----

TEST_F(RingServerTest, Pieces_TheLastOneBackAnswers) {
  Open();
  const uint32_t idx = ring_.Submit(kLong, 25);
  Take();
  const auto first = server_->NextPiece(10, iteration_);
  EXPECT_EQ(first.begin, 0u);
  EXPECT_EQ(first.end, 10u);
  EXPECT_TRUE(first.more);
  const auto second = server_->NextPiece(10, iteration_);
  const auto third = server_->NextPiece(10, iteration_);
  EXPECT_EQ(third.end, 25u);
  EXPECT_FALSE(third.more);
  EXPECT_EQ(server_->Head(), nullptr) << "the next request waits for its end";
  EXPECT_TRUE(server_->busy());
  EXPECT_FALSE(server_->PieceFinished(second.request, iteration_));
  EXPECT_FALSE(server_->PieceFinished(first.request, iteration_));
  ExpectAnswer(idx, 255, 0);
  EXPECT_TRUE(server_->PieceFinished(third.request, iteration_));
  ExpectAnswer(idx, VGPU_OK, 0);
  EXPECT_TRUE(server_->idle());
}

TEST_F(RingServerTest, Pieces_MemoryLost_IsAnswered13) {
  Open();
  const uint32_t idx = ring_.Submit(kLong, 1);
  Take();
  const auto piece = server_->NextPiece(10, iteration_);
  host_.lost = true;
  EXPECT_TRUE(server_->PieceFinished(piece.request, iteration_));
  ExpectAnswer(idx, VGPU_ERR_FENCED, 0);
}

TEST_F(RingServerTest, AnotherEpochWhileAPieceIsUnderWay_WaitsForItAndAnswersNothing) {
  Open();
  ring_.Submit(kLong, 25);
  Take();
  const auto piece = server_->NextPiece(10, iteration_);
  ring_.Ask(true);
  ASSERT_TRUE(server_->CheckEpoch());
  server_->BeginIfDue();
  EXPECT_FALSE(server_->in_progress());
  EXPECT_TRUE(server_->PieceFinished(piece.request, iteration_)) << "no further pieces";
  EXPECT_EQ(server_->counters().answered, 0u);
  Finish();
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_OPEN));
}

TEST_F(RingServerTest, Fence_AnswersWhatRunsAndWhatWaits) {
  Open();
  ring_.Submit(kLong, 25);
  ring_.Submit(kDouble, 1);
  Take();
  const auto piece = server_->NextPiece(10, iteration_);
  server_->RequestFence();
  EXPECT_EQ(server_->Head(), nullptr);
  Finish();
  EXPECT_FALSE(ring_.Answered(VGPU_EPOCH_FENCED)) << "a piece is under way";
  EXPECT_TRUE(server_->PieceFinished(piece.request, iteration_));
  Finish();
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_FENCED));
  ExpectAnswer(0, VGPU_ERR_FENCED, 0);
  ExpectAnswer(1, VGPU_ERR_FENCED, 0);
}

// ---- slots ----

TEST_F(RingServerTest, Slots_AreGivenAndConfirmed) {
  log_.on_gpu = true;
  Open();
  for (uint32_t i = 0; i < 4; ++i) ring_.Submit(kDouble, i);
  Take();
  std::vector<Toy::Request*> given;
  EXPECT_EQ(server_->StartSlots(3, iteration_, [&](Toy::Request* request) { given.push_back(request); }), 3u);
  EXPECT_TRUE(server_->busy());
  EXPECT_FALSE(server_->at_rest());
  size_t next = 0;
  EXPECT_EQ(server_->SlotsFinished(iteration_,
                                   [&]() -> Toy::Request* {
                                     if (next == given.size()) return nullptr;
                                     given[next]->result = 77;
                                     return given[next++];
                                   }),
            3u);
  EXPECT_FALSE(server_->busy());
  for (uint32_t i = 0; i < 3; ++i) ExpectAnswer(i, VGPU_OK, 77);
  EXPECT_EQ(server_->waiting(), 1u);
}

// The guest may have seen the GPU's answer before the server has.
TEST_F(RingServerTest, Slots_AnEarlyNextRequestWaitsInItsSlot) {
  log_.on_gpu = true;
  Open();
  for (uint32_t i = 0; i < TestRing::kEntries; ++i) ring_.Submit(kDouble, i);
  Take();
  Toy::Request* first = nullptr;
  server_->StartSlots(1, iteration_, [&](Toy::Request* request) { first = request; });
  ring::Producer<TestRing::Memory> early(ring_.ref(), server_->epoch(), TestRing::kEntries);
  early.Stage(kDouble, 0, nullptr, 0);
  early.Publish();
  EXPECT_EQ(Take(), 0u);
  server_->SlotsFinished(iteration_, [&] { return std::exchange(first, nullptr); });
  EXPECT_EQ(Take(), 1u);
}

// ---- restarts ----

TEST_F(RingServerTest, Restart_WhatHasNoAnswer_IsQueuedAgain) {
  Open();
  ring_.Submit(kDouble, 1);
  Take();
  Run();
  const uint32_t idx = ring_.Submit(kDouble, 2);
  Take();
  Restart();
  EXPECT_EQ(Run(), 1u);
  ExpectAnswer(0, VGPU_OK, 2);
  ExpectAnswer(idx, VGPU_OK, 4);
}

TEST_F(RingServerTest, Restart_WhatHadBegunAndDoesHarm_IsAnswered12) {
  Open();
  const uint32_t idx = ring_.Submit(kLong, 5, 1);
  const uint32_t later = ring_.Submit(kInPlace, 5);
  Take();
  server_->NextPiece(2, iteration_);
  Restart();
  Run();
  ExpectAnswer(idx, VGPU_ERR_INTERRUPTED, 0);
  ExpectAnswer(later, VGPU_OK, 10);
}

TEST_F(RingServerTest, Restart_BetweenTheJournalAndTheAnswerOfAnEpoch_AnswersIt) {
  Open();
  ring_.Submit(kDouble, 1);
  ring_.Ask(true);
  server_->CheckEpoch();
  server_->BeginIfDue();
  Restart();
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_OPEN));
  EXPECT_FALSE(server_->Ready()) << "the old request is gone";
}

TEST_F(RingServerTest, Restart_AFenceEndsWithItsSession) {
  Open();
  server_->RequestFence();
  Finish();
  Restart();
  EXPECT_EQ(server_->state(), RingState::kClosed);
  Open();
}

// ---- waking, tracing, times ----

TEST_F(RingServerTest, Call_OnlyAGuestThatSleeps) {
  Open();
  const uint32_t before = host_.calls;
  ring_.Submit(kDouble, 1);
  Take();
  Run();
  server_->CallIfNeeded();
  EXPECT_EQ(host_.calls, before);
  ring_.Take(0);
  ring_.Submit(kDouble, 1);
  ASSERT_TRUE(ring_.guest().ArmCall());
  Take();
  Run();
  server_->CallIfNeeded();
  EXPECT_EQ(host_.calls, before + 1);
  EXPECT_EQ(server_->counters().calls, before + 1);
}

TEST_F(RingServerTest, Arm_LosesAgainstARequest) {
  Open();
  EXPECT_TRUE(server_->Arm());
  ring_.Submit(kDouble, 1);
  EXPECT_FALSE(server_->Arm());
  EXPECT_EQ(server_->counters().arms_won, 1u);
  EXPECT_EQ(server_->counters().arms_lost, 1u);
}

TEST_F(RingServerTest, Trace_HasEachStep) {
  Sink sink;
  iteration_.trace = &sink;
  Open();
  ring_.Submit(kDouble, 1);
  ring_.Submit(kUnknown);
  ring_.Submit(kLong, 7);
  Take();
  Run();
  const auto piece = server_->NextPiece(10, iteration_);
  server_->PieceFinished(piece.request, iteration_);
  const std::vector<std::string> expected = {"taken 0",   "taken 1",           "taken 2",    "started 0",
                                             "started 1", "answered 1 code 8", "answered 0", "started 2",
                                             "piece 0",   "answered 2"};
  EXPECT_EQ(sink.lines, expected);
}

TEST_F(RingServerTest, Times_AreThoseOfTheIterations) {
  Open();
  ring_.Submit(kLong, 1);
  Take();
  iteration_.now_ns += 500;
  const auto piece = server_->NextPiece(10, iteration_);
  iteration_.now_ns += 3000;
  server_->PieceFinished(piece.request, iteration_);
  EXPECT_EQ(queue_wait_.max(), 500u);
  EXPECT_EQ(service_.max(), 3000u);
}

}  // namespace
}  // namespace vgpu::serve
