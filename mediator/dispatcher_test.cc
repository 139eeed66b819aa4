// SPDX-License-Identifier: Apache-2.0
// Sessions, rings and the loop's turn with a backend that finishes a piece exactly when the test says so:
// what happens between two pieces, which no test of the whole daemon can time.
#include "mediator/dispatcher.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "mediator/eventfd.h"
#include "ring/epoch.h"
#include "ring/producer.h"

namespace vgpu::mediator {
namespace {

using ring::RealMemory;

constexpr uint32_t kEntries = 8;
constexpr uint64_t kRegionBytes = 4 << 20;
constexpr uint64_t kLongCount = 3 * 32768;  // i32: three pieces

ring::UniqueFd MakeEventfd() { return ring::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

// Keeps what it is given until the test finishes it. One piece at a time.
class FakeBackend final : public Backend {
 public:
  bool HasRoom(const GuestRing&, int64_t) const override { return open && !held; }
  uint64_t PieceElements(const GuestRing&, const Request& request, int64_t) const override {
    return request.op->piece(request);
  }
  void Submit(const Piece& piece, int64_t) override {
    held = piece;
    order.push_back(piece.ring->session()->vm_id());
  }
  void Reap(std::vector<Piece>* finished) override {
    DrainEventfd(fd_.get());
    if (finished_) finished->push_back(*std::exchange(finished_, std::nullopt));
  }
  int finished_fd() const override { return fd_.get(); }
  void Describe(uint32_t, vgpu_device_info*) const override {}

  void Finish() {
    finished_ = std::exchange(held, std::nullopt);
    SignalEventfd(fd_.get());
  }
  // Finished, and the loop knows.
  bool Idle() const { return !held && !finished_; }

  bool open = true;  // takes further pieces
  std::optional<Piece> held;
  std::vector<uint32_t> order;  // the VMs whose pieces came

 private:
  const ring::UniqueFd fd_ = MakeEventfd();
  std::optional<Piece> finished_;
};

// A guest's memory, its session, and what the session told its owner.
class Vm final {
 public:
  Vm(uint32_t vm_id, uint32_t priority) {
    SessionMemory memory;
    EXPECT_EQ(vgpu_layout_make(kRegionBytes, 1, kEntries, &memory.layout), 0);
    layout_ = memory.layout;
    const auto region = ring::MakeSealedMemfd("vgpu-test", kRegionBytes);
    const auto file = ring::MakeSealedMemfd("vgpu-test", VGPU_PRIVATE_BYTES);
    memory.region = GuardedMapping(std::move(ring::MapShared(region->get(), kRegionBytes).value()));
    memory.private_file = GuardedMapping(std::move(ring::MapShared(file->get(), VGPU_PRIVATE_BYTES).value()));
    base_ = std::move(ring::MapShared(region->get(), kRegionBytes).value());
    vgpu_private_fill(memory.private_file.data());
    std::vector<RingEventfds> rings(1);
    rings[0] = {MakeEventfd(), MakeEventfd()};
    kick_ = ring::UniqueFd(dup(rings[0].kick.get()));
    session_ = std::make_unique<Session>(Grant{vm_id, 'A', priority}, std::move(memory), std::move(rings),
                                         RingEventfds{MakeEventfd(), MakeEventfd()}, vgpu_device_info{});
  }

  Session* session() { return session_.get(); }
  GuestRing& guest_ring() { return *session_->rings()[0]; }
  ring::RingRef<RealMemory> ring() const { return ring::RingAt(base_.data() + layout_.ring_off, kEntries); }
  uint64_t ack() const { return RealMemory::LoadAcquire(ring().epoch_ack); }

  void AskEpoch(bool open) {
    epoch_ = ring::RequestEpoch(ring(), open);
    SignalEventfd(kick_.get());
  }
  bool EpochIs(uint32_t state) const { return ack() == vgpu_word(state, epoch_); }
  void MakeProducer() { producer_ = std::make_unique<ring::Producer<RealMemory>>(ring(), epoch_); }
  uint32_t StageLong() {
    const uint64_t args[] = {kLongCount, 0, 4 * kLongCount, 8 * kLongCount};
    return producer_->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, args, 4);
  }
  uint32_t StageAdd(uint32_t a, uint32_t b) {
    const uint64_t arg = vgpu_word(a, b);
    return producer_->Stage(VGPU_OP_ADD, 0, &arg, 1);
  }
  uint32_t Stage(uint32_t opcode) { return producer_->Stage(opcode, 0, nullptr, 0); }
  void Publish() {
    if (producer_->Publish()) SignalEventfd(kick_.get());
  }
  uint32_t SubmitLong() {
    const uint32_t idx = StageLong();
    Publish();
    return idx;
  }
  bool Take(uint32_t idx, ring::Answer* answer) { return producer_->Take(idx, answer); }

  // What its owner heard of its session.
  int fenced = 0;
  int resets_done = 0;
  int slow = 0;
  int left = 0;
  int ended = 0;
  std::function<void()> on_reset_done;

 private:
  vgpu_layout layout_{};
  ring::Mapping base_;
  ring::UniqueFd kick_;
  std::unique_ptr<Session> session_;
  uint32_t epoch_ = 0;
  std::unique_ptr<ring::Producer<RealMemory>> producer_;
};

// Tells each VM what its session's owner hears.
class Owners final : public SessionOwner {
 public:
  void Add(Vm* vm) { vms_.push_back(vm); }
  void OnFenced(Session* session, FenceReason) override { ++Of(session).fenced; }
  void OnResetDone(Session* session) override {
    ++Of(session).resets_done;
    if (Of(session).on_reset_done) Of(session).on_reset_done();
  }
  void OnSlow(Session* session) override { ++Of(session).slow; }
  void OnLeft(Session* session) override { ++Of(session).left; }
  void OnEnded(Session* session) override { ++Of(session).ended; }

 private:
  Vm& Of(const Session* session) {
    return **std::find_if(vms_.begin(), vms_.end(), [session](Vm* vm) { return vm->session() == session; });
  }
  std::vector<Vm*> vms_;
};

// Plays a script on the loop's thread: each step waits until its condition holds, and then acts.
class DispatcherTest : public testing::Test, private ReadyHandler {
 protected:
  struct Step {
    std::function<bool()> when;
    std::function<void()> act = [] {};
  };

  void SetUp() override {
    loop_ = std::move(EventLoop::Create(64).value());
    SignalEventfd(every_turn_.get());  // and never drained
    loop_->Watch(every_turn_.get(), this);
    dispatcher_ = std::make_unique<Dispatcher>(loop_.get(), &backend_, &owners_, nullptr, &clock_,
                                               DispatcherOptions{WaitMode::kSleep, 30'000});
  }

  void Play(std::vector<Step> steps) {
    steps_ = std::move(steps);
    at_ = turns_ = 0;
    stop_ = false;
    dispatcher_->Run(&stop_);
    EXPECT_EQ(at_, steps_.size()) << "step " << at_ << " never came";
  }

  // Steps that attach a VM, open its ring, and bring it between two pieces of a request, or into the first
  // one.
  std::vector<Step> Opened(Vm* vm) {
    return {{[] { return true; },
             [this, vm] {
               owners_.Add(vm);
               ASSERT_TRUE(dispatcher_->Begin(vm->session(), true));
               vm->AskEpoch(true);
             }},
            {[vm] { return vm->EpochIs(VGPU_EPOCH_OPEN); }, [vm] { vm->MakeProducer(); }}};
  }
  std::vector<Step> InAPiece(Vm* vm) {
    std::vector<Step> steps = Opened(vm);
    steps.push_back({[] { return true; }, [vm] { vm->SubmitLong(); }});
    steps.push_back({[this] { return backend_.held.has_value(); }});
    return steps;
  }
  std::vector<Step> BetweenPieces(Vm* vm) {
    std::vector<Step> steps = InAPiece(vm);
    steps.back().act = [this] {
      backend_.open = false;
      backend_.Finish();
    };
    steps.push_back({[this] { return backend_.Idle(); }});
    return steps;
  }
  // Steps that finish the next `count` pieces, each when the backend has it.
  void FinishPieces(int count, std::vector<Step>* steps) {
    for (int piece = 0; piece < count; ++piece) {
      steps->push_back({[this] { return backend_.held.has_value(); }, [this] { backend_.Finish(); }});
    }
  }
  // The ring has the loop to itself: the window's ring, polled at first, is not any more.
  static std::function<bool()> Alone(Vm* vm) {
    return [vm] { return !vm->session()->rings().back()->hot && vm->guest_ring().idle(); };
  }
  // `count` turns in which `what` must not be true.
  Step Never(std::function<bool()> what, int count = 100) {
    auto left = std::make_shared<int>(count);
    return {[what = std::move(what), left] {
      EXPECT_FALSE(what());
      return --*left <= 0;
    }};
  }

  FakeBackend backend_;
  Owners owners_;
  const Clock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Dispatcher> dispatcher_;

 private:
  static constexpr int kTurnsMax = 100'000;

  void OnReady() override {
    if (at_ < steps_.size() && steps_[at_].when()) {
      steps_[at_++].act();
      turns_ = 0;
    }
    if (at_ < steps_.size() && ++turns_ < kTurnsMax && !HasFatalFailure()) return;
    stop_ = true;  // the loop waits for what the backend has
    backend_.open = false;
    if (backend_.held) backend_.Finish();
  }

  const ring::UniqueFd every_turn_ = MakeEventfd();
  std::vector<Step> steps_;
  size_t at_ = 0;
  int turns_ = 0;
  bool stop_ = false;
};

template <class... Steps>
auto Then(std::vector<Steps>... parts) {
  std::vector<std::common_type_t<Steps...>> all;
  (all.insert(all.end(), parts.begin(), parts.end()), ...);
  return all;
}

constexpr auto kNow = [] { return true; };

// ---- between two pieces: nothing is with the backend, and yet a request runs ----

TEST_F(DispatcherTest, EndBetweenPieces_EndsAtOnce) {
  Vm vm(1, 1);
  Play(Then(BetweenPieces(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->End(vm.session()); }},
                                                  {[&] { return vm.ended == 1; }}}));
  EXPECT_TRUE(dispatcher_->sessions().empty());
}

TEST_F(DispatcherTest, NewEpochBetweenPieces_Answered) {
  Vm vm(1, 1);
  Play(Then(BetweenPieces(&vm), std::vector<Step>{{kNow, [&] { vm.AskEpoch(true); }},
                                                  {[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); }}}));
}

TEST_F(DispatcherTest, ResetBetweenPieces_Done) {
  Vm vm(1, 1);
  Play(Then(BetweenPieces(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->Reset(vm.session()); }},
                                                  {[&] { return vm.resets_done == 1; }}}));
  EXPECT_TRUE(vm.EpochIs(VGPU_EPOCH_CLOSED));
}

TEST_F(DispatcherTest, FenceBetweenPieces_AnsweredFenced) {
  Vm vm(1, 1);
  Play(Then(BetweenPieces(&vm),
            std::vector<Step>{{kNow, [&] { dispatcher_->Fence(vm.session(), FenceReason::kSlotReused); }}}));
  EXPECT_EQ(vm.fenced, 1);
  EXPECT_TRUE(vm.EpochIs(VGPU_EPOCH_FENCED));
  ring::Answer answer{};
  ASSERT_TRUE(vm.Take(0, &answer));
  EXPECT_EQ(answer.code, VGPU_ERR_FENCED);
}

// ---- in a piece: the memory stays until it is back ----

TEST_F(DispatcherTest, EndInAPiece_WaitsForIt) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->End(vm.session()); }},
                                             Never([&] { return vm.ended != 0; }),
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.ended == 1; }}}));
  EXPECT_TRUE(dispatcher_->sessions().empty());
  EXPECT_EQ(backend_.order.size(), 1u) << "further pieces of a session that ends";
}

TEST_F(DispatcherTest, NewEpochInAPiece_WaitsForIt) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { vm.AskEpoch(true); }},
                                             Never([&] { return vm.EpochIs(VGPU_EPOCH_OPEN); }),
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); }}}));
  EXPECT_EQ(backend_.order.size(), 1u);
}

TEST_F(DispatcherTest, ResetInAPiece_WaitsForIt) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->Reset(vm.session()); }},
                                             Never([&] { return vm.resets_done != 0; }),
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.resets_done == 1; }}}));
}

TEST_F(DispatcherTest, FenceInAPiece_AnsweredWhenItIsBackAndTheQueueToo) {
  Vm vm(1, 1);
  ring::Answer answer{};
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { vm.SubmitLong(); }},
                                             {[&] { return vm.guest_ring().waiting() == 1; },
                                              [&] { dispatcher_->Fence(vm.session(), FenceReason::kSlotReused); }},
                                             Never([&] { return vm.Take(0, &answer); }),
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.EpochIs(VGPU_EPOCH_FENCED); }},
                                             Never([&] { return backend_.held.has_value(); })}));
  for (const uint32_t idx : {0u, 1u}) {
    ASSERT_TRUE(vm.Take(idx, &answer));
    EXPECT_EQ(answer.code, VGPU_ERR_FENCED);
  }
}

// A guest that boots quickly opens its ring while the reset still waits for a piece. It must be served, kick
// or no kick.
TEST_F(DispatcherTest, EpochAskedDuringAReset_RingIsServed) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm),
            std::vector<Step>{{kNow, [&] { dispatcher_->Reset(vm.session()); }},
                              {kNow, [&] { vm.AskEpoch(true); }},
                              Never([&] { return vm.EpochIs(VGPU_EPOCH_OPEN); }),
                              {kNow, [&] { backend_.Finish(); }},
                              {[&] { return vm.EpochIs(VGPU_EPOCH_OPEN) && vm.resets_done == 1; },
                               [&] {
                                 vm.MakeProducer();
                                 vm.SubmitLong();
                               }},
                              {[&] { return backend_.held.has_value(); }}}));
}

// Its connection is gone when the owner is told of the reset's end.
TEST_F(DispatcherTest, OwnerGoneAtResetDone_EndsOnce) {
  Vm vm(1, 1);
  vm.on_reset_done = [&] { dispatcher_->End(vm.session()); };
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->Reset(vm.session()); }},
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.ended != 0; }},
                                             Never([&] { return vm.ended != 1; })}));
  EXPECT_TRUE(dispatcher_->sessions().empty());
}

// ---- alone on the loop: taken and answered in one pass ----

TEST_F(DispatcherTest, Alone_SmallBesideLong_InOrderAndOnce) {
  Vm vm(1, 1);
  ring::Answer first{}, refused{}, last{}, none{};
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({Alone(&vm), [&] {
                     vm.StageAdd(1, 2);
                     vm.Stage(0x7777);
                     vm.StageLong();
                     vm.StageAdd(3, 4);
                     vm.Publish();
                   }});
  steps.push_back({[&] { return backend_.held.has_value(); }, [&] {
                     EXPECT_TRUE(vm.Take(0, &first));
                     EXPECT_TRUE(vm.Take(1, &refused));
                   }});
  steps.push_back(Never([&] { return vm.Take(2, &none) || vm.Take(3, &none); }));
  FinishPieces(3, &steps);
  steps.push_back({[&] { return vm.Take(3, &last); }, [&] { EXPECT_TRUE(vm.Take(2, &none)); }});
  Play(std::move(steps));
  EXPECT_EQ(first.data, 3u);
  EXPECT_EQ(refused.code, VGPU_ERR_UNSUPPORTED);
  EXPECT_EQ(last.data, 7u);
  EXPECT_EQ(vm.guest_ring().counters().taken, 4u);
  EXPECT_EQ(vm.guest_ring().counters().answered, 4u);
  EXPECT_EQ(vm.guest_ring().counters().refused, 1u);
}

// As many as the ring has slots, again and again: no slot is taken twice before its answer.
TEST_F(DispatcherTest, Alone_FullRing_ManyLaps) {
  constexpr uint32_t kLaps = 50;
  Vm vm(1, 1);
  uint32_t wrong = 0;
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({Alone(&vm)});
  for (uint32_t lap = 0; lap < kLaps; ++lap) {
    steps.push_back({kNow, [&vm, lap] {
                       for (uint32_t i = 0; i < kEntries; ++i) vm.StageAdd(lap, i);
                       vm.Publish();
                     }});
    steps.push_back({[&vm, lap] { return vm.guest_ring().counters().answered == (lap + 1) * kEntries; },
                     [&vm, &wrong, lap] {
                       ring::Answer answer{};
                       for (uint32_t i = 0; i < kEntries; ++i) {
                         wrong += !vm.Take(lap * kEntries + i, &answer) || answer.data != lap + i;
                       }
                     }});
  }
  Play(std::move(steps));
  EXPECT_EQ(wrong, 0u);
}

// ---- order ----

TEST_F(DispatcherTest, HigherClass_TakesTheVeryNextPiece) {
  Vm low(1, 0), high(3, 2);
  std::vector<Step> steps = Then(Opened(&high), InAPiece(&low));
  steps.push_back({kNow, [&] { high.SubmitLong(); }});
  steps.push_back({[&] { return high.guest_ring().counters().taken == 1; }});
  FinishPieces(6, &steps);
  Play(std::move(steps));
  EXPECT_EQ(backend_.order, (std::vector<uint32_t>{1, 3, 3, 3, 1, 1}));
}

TEST_F(DispatcherTest, SameClass_PieceByPieceInTurns) {
  Vm first(1, 1), second(2, 1);
  std::vector<Step> steps = Then(Opened(&second), InAPiece(&first));
  steps.push_back({kNow, [&] { second.SubmitLong(); }});
  steps.push_back({[&] { return second.guest_ring().counters().taken == 1; }});
  FinishPieces(6, &steps);
  Play(std::move(steps));
  // The second VM came after the first one's first piece: it waits for one more, then they alternate.
  EXPECT_EQ(backend_.order, (std::vector<uint32_t>{1, 1, 2, 1, 2, 2}));
}

}  // namespace
}  // namespace vgpu::mediator
