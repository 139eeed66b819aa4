// SPDX-License-Identifier: Apache-2.0
// Sessions, rings and the lane's iteration with workers and a GPU that finish a piece exactly when the test
// says so: what happens between two pieces, which no test of the whole daemon can time.
#include "mediator/lane/dispatcher.h"

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

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/sanitized.h"
#include "base/unique_fd.h"
#include "mediator/gpu/placements.h"
#include "mediator/lane/placement.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/uring_loop.h"
#include "ring/epoch.h"
#include "ring/producer.h"
#include "tests/support/crowd.h"

namespace vgpu::mediator {
namespace {

using ring::RealMemory;

constexpr uint32_t kEntries = 8;
constexpr uint64_t kRegionBytes = 4 << 20;
constexpr uint64_t kLongCount = 3 * 32768;  // i32: three pieces

base::UniqueFd MakeEventfd() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

// Keeps what it is given until the test finishes it. One piece at a time.
class FakeWorkers final : public Workers {
 public:
  uint64_t PieceLength(const Request& request) const override { return request.op->piece(request); }
  bool HasRoom() const override { return open && Idle(); }
  void Submit(const Piece& piece) override {
    held = piece;
    order.push_back(piece.ring->session()->vm_id());
  }
  void Reap(std::vector<Piece>* finished) override {
    DrainEventfd(fd_.get());
    if (finished_) finished->push_back(*std::exchange(finished_, std::nullopt));
  }
  int finished_fd() const override { return fd_.get(); }

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
  const base::UniqueFd fd_ = MakeEventfd();
  std::optional<Piece> finished_;
};

// One GPU, and who holds the memory of its sessions. Likewise.
class FakeGpu final : public Gpus, public MemoryHolder {
 public:
  explicit FakeGpu(Workers* workers) : workers_(workers) { placements_.AddGpu(0, {'A'}); }

  uint32_t count() const override { return 1; }
  Plan PlanPiece(const GuestRing&, const Request&, int64_t) const override {
    return {PieceWay::kDirect, 0, kLongCount / 3};
  }
  bool HasRoom(const GuestRing&, const Plan&) const override { return !polls(); }
  void Submit(const Piece& piece, const Plan&) override { held.push_back(piece); }
  uint32_t SlotRoom(const GuestRing&) override { return kEntries; }
  void SubmitSlot(GuestRing* ring, Request* request, int64_t) override {
    held.push_back({ring, request, 0, 0});
  }
  void Flush() override {}
  bool polls() const override { return !held.empty() || !finished_.empty(); }
  void Poll(std::vector<Piece>* finished) override {
    finished->insert(finished->end(), finished_.begin(), finished_.end());
    finished_.clear();
  }
  void WorkersHaveRoom() override {
    for (; !again_.empty() && workers_->HasRoom(); again_.pop_back()) workers_->Submit(again_.back());
  }
  void Rest() override {}

  void SetListener(PlacementListener* listener) override { listener_ = listener; }
  void Attach(Session* session) override {
    placements_.Place({session, session->mutable_placement(), session->vm_id()}, 0, /*parked=*/false);
  }
  bool Release(Session* session) override {
    const uint32_t region = session->placement().region();
    if (session->placement().state() != PlacementState::kReleasing && placements_.BeginRelease(region)) {
      listener_->OnPlacement(session, false);
    }
    if (holds) return false;
    placements_.EndRelease(region);
    return true;
  }
  void Wake(Session*) override {}

  void Finish() {
    finished_.insert(finished_.end(), held.begin(), held.end());
    held.clear();
  }
  void Serve(Session* session) {
    ASSERT_TRUE(placements_.Serve(session->placement().region()));
    listener_->OnPlacement(session, true);
  }
  // Its engine is lost, and gone: what it had is repeated by the workers.
  void LoseEngine() {
    const Placements::Regions lost = placements_.LoseEngine(0);
    for (uint32_t region = 0; region < lost.size(); ++region) {
      if (lost[region]) listener_->OnPlacement(placements_.session(region), false);
    }
    again_ = std::exchange(held, {});
    WorkersHaveRoom();
  }
  void Free(Session* session) {
    holds = false;
    listener_->OnMemoryFree(session);
  }

  std::vector<Piece> held;
  bool holds = false;  // engines have the memory of sessions that go

 private:
  Workers* const workers_;
  PlacementListener* listener_ = nullptr;
  Placements placements_;
  std::vector<Piece> finished_;
  std::vector<Piece> again_;
};

// A guest's memory, its session, and what the session told its owner.
class Vm final {
 public:
  Vm(uint32_t vm_id, uint32_t priority, uint32_t entries = kEntries, uint32_t ring_count = 1,
     bool arenas_are_short = true)
      : guests_(ring_count) {
    SessionMemory memory;
    memory.arenas_are_short = arenas_are_short;
    EXPECT_EQ(vgpu_layout_make(kRegionBytes, ring_count, entries, &memory.layout), 0);
    layout_ = memory.layout;
    const auto region = base::MakeSealedMemfd("vgpu-test", kRegionBytes);
    const auto file = base::MakeSealedMemfd("vgpu-test", VGPU_PRIVATE_BYTES);
    memory.region = base::GuardedMapping(std::move(base::MapShared(region->get(), kRegionBytes).value()));
    memory.private_file =
        base::GuardedMapping(std::move(base::MapShared(file->get(), VGPU_PRIVATE_BYTES).value()));
    base_ = std::move(base::MapShared(region->get(), kRegionBytes).value());
    vgpu_private_fill(memory.private_file.data());
    std::vector<RingEventfds> rings(ring_count);
    for (uint32_t q = 0; q < ring_count; ++q) {
      rings[q] = {MakeEventfd(), MakeEventfd()};
      guests_[q].kick = base::UniqueFd(dup(rings[q].kick.get()));
      guests_[q].call = base::UniqueFd(dup(rings[q].call.get()));
    }
    session_ = std::make_unique<Session>(Identity{vm_id, 'A', priority}, std::move(memory), std::move(rings),
                                         RingEventfds{MakeEventfd(), MakeEventfd()}, vgpu_device_info{});
  }

  Session* session() { return session_.get(); }
  GuestRing& guest_ring(uint32_t q = 0) { return *session_->rings()[q]; }
  uint32_t ring_count() const { return static_cast<uint32_t>(guests_.size()); }
  ring::RingRef<RealMemory> ring(uint32_t q = 0) const {
    return ring::RingAt(base_.data() + layout_.ring_off + q * layout_.ring_stride, layout_.entries);
  }
  uint64_t ack(uint32_t q = 0) const { return RealMemory::LoadAcquire(ring(q).epoch_ack); }

  void AskEpoch(bool open, uint32_t q = 0) {
    guests_[q].epoch = ring::RequestEpoch(ring(q), open);
    Kick(q);
  }
  void Kick(uint32_t q = 0) { SignalEventfd(guests_[q].kick.get()); }
  int call_fd() const { return guests_[0].call.get(); }
  bool EpochIs(uint32_t state, uint32_t q = 0) const { return ack(q) == vgpu_word(state, guests_[q].epoch); }
  void MakeProducer(uint32_t q = 0) {
    guests_[q].producer = std::make_unique<ring::Producer<RealMemory>>(ring(q), guests_[q].epoch);
  }
  uint32_t StageLong() {
    const uint64_t args[] = {kLongCount, 0, 4 * kLongCount, 8 * kLongCount};
    return guests_[0].producer->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, args, 4);
  }
  uint32_t StageAdd(uint32_t a, uint32_t b, uint32_t q = 0) {
    const uint64_t arg = vgpu_word(a, b);
    return guests_[q].producer->Stage(VGPU_OP_ADD, 0, &arg, 1);
  }
  uint32_t StageShort() {
    const uint64_t args[] = {1, 0, 4, 8};
    return guests_[0].producer->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, args, 4);
  }
  uint32_t StageDeviceInfo() {
    const uint64_t args[] = {1024, sizeof(vgpu_device_info)};
    return guests_[0].producer->Stage(VGPU_OP_DEVICE_INFO, 0, args, 2);
  }
  char* arena() const { return base_.data() + layout_.ring_off + layout_.arena_off; }
  uint32_t Stage(uint32_t opcode) { return guests_[0].producer->Stage(opcode, 0, nullptr, 0); }
  void Publish(uint32_t q = 0) {
    if (guests_[q].producer->Publish()) Kick(q);
  }
  uint32_t SubmitLong() {
    const uint32_t idx = StageLong();
    Publish();
    return idx;
  }
  bool Take(uint32_t idx, ring::Answer* answer) { return guests_[0].producer->Take(idx, answer); }
  // Asks to be called for the next answer.
  void Sleep() { guests_[0].producer->ArmCall(); }

  // What its owner heard of its session.
  int fenced = 0;
  int resets_done = 0;
  int slow = 0;
  int left = 0;
  int ended = 0;
  std::function<void()> on_reset_done;

 private:
  // Its side of a ring.
  struct Guest {
    base::UniqueFd kick;
    base::UniqueFd call;
    uint32_t epoch = 0;
    std::unique_ptr<ring::Producer<RealMemory>> producer;
  };

  vgpu_layout layout_{};
  base::Mapping base_;
  std::vector<Guest> guests_;
  std::unique_ptr<Session> session_;
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
    loop_ = std::move(MakeUringLoop(64).value());
    SignalEventfd(every_iteration_.get());  // and never drained
    loop_->Watch(every_iteration_.get(), this);
    dispatcher_ = std::make_unique<Dispatcher>(loop_.get(), Roles(), &owners_, nullptr, &clock_,
                                               DispatcherOptions{WaitMode::kSleep, 30'000});
    isolated_loop_ = std::move(MakeUringLoop(64).value());
    isolated_loop_->Watch(every_iteration_.get(), this);
    isolated_ =
        std::make_unique<Dispatcher>(isolated_loop_.get(), Backend{&isolated_backend_}, &owners_, nullptr,
                                     &clock_, DispatcherOptions{WaitMode::kSleep, 30'000, 256, true});
  }

  // What computes for dispatcher_.
  virtual Backend Roles() { return {&backend_}; }
  // The last step was played, or none came: whatever computes finishes what it has.
  virtual void OnStop() {}

  void Play(std::vector<Step> steps) { Play(std::move(steps), dispatcher_.get(), &backend_); }
  // The same on the dispatcher of the isolated lane.
  void PlayIsolated(std::vector<Step> steps) { Play(std::move(steps), isolated_.get(), &isolated_backend_); }
  void Play(std::vector<Step> steps, Dispatcher* dispatcher, FakeWorkers* backend) {
    steps_ = std::move(steps);
    plays_on_ = backend;
    at_ = iterations_ = 0;
    stop_ = false;
    dispatcher->Run(&stop_);
    EXPECT_EQ(at_, steps_.size()) << "step " << at_ << " never came";
  }

  // Steps that attach a VM, open its ring, and bring it between two pieces of a request,
  // or into the first one.
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
  void FinishPieces(int count, std::vector<Step>* steps) { FinishPieces(count, steps, &backend_); }
  static void FinishPieces(int count, std::vector<Step>* steps, FakeWorkers* backend) {
    for (int piece = 0; piece < count; ++piece) {
      steps->push_back({[backend] { return backend->held.has_value(); }, [backend] { backend->Finish(); }});
    }
  }
  // The ring has the loop to itself: the window's ring, polled at first, is not any more.
  static std::function<bool()> OnlyOne(Vm* vm) {
    return [vm] { return !vm->session()->rings().back()->polled && vm->guest_ring().idle(); };
  }
  // `count` iterations in which `what` must not be true.
  Step Never(std::function<bool()> what, int count = 100) {
    auto left = std::make_shared<int>(count);
    return {[what = std::move(what), left] {
      EXPECT_FALSE(what());
      return --*left <= 0;
    }};
  }

  FakeWorkers backend_;
  Owners owners_;
  const Clock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Dispatcher> dispatcher_;
  FakeWorkers isolated_backend_;
  std::unique_ptr<EventLoop> isolated_loop_;
  std::unique_ptr<Dispatcher> isolated_;

 private:
  static constexpr int kIterationsMax = 100'000;

  void OnReady() override {
    if (at_ < steps_.size() && steps_[at_].when()) {
      steps_[at_++].act();
      iterations_ = 0;
    }
    if (at_ < steps_.size() && ++iterations_ < kIterationsMax && !HasFatalFailure()) return;
    stop_ = true;  // the loop waits for what the backend has
    plays_on_->open = false;
    if (plays_on_->held) plays_on_->Finish();
    OnStop();
  }

  const base::UniqueFd every_iteration_ = MakeEventfd();
  FakeWorkers* plays_on_ = nullptr;
  std::vector<Step> steps_;
  size_t at_ = 0;
  int iterations_ = 0;
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
  Play(Then(InAPiece(&vm),
            std::vector<Step>{{kNow, [&] { vm.SubmitLong(); }},
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

// ---- the only one on the lane: taken and answered in one pass ----

TEST_F(DispatcherTest, OnlyOne_SmallBesideLong_InOrderAndOnce) {
  Vm vm(1, 1);
  ring::Answer first{}, refused{}, last{}, none{};
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({OnlyOne(&vm), [&] {
                     vm.StageAdd(1, 2);
                     vm.Stage(0x7777);
                     vm.StageLong();
                     vm.StageAdd(3, 4);
                     vm.Publish();
                   }});
  steps.push_back({[&] { return backend_.held.has_value(); },
                   [&] {
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
TEST_F(DispatcherTest, OnlyOne_FullRing_ManyLaps) {
  constexpr uint32_t kLaps = 50;
  Vm vm(1, 1);
  uint32_t wrong = 0;
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({OnlyOne(&vm)});
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

// ---- from one dispatcher to another ----

// What runs has its piece here and the others there; what waits is answered there, once.
TEST_F(DispatcherTest, LeaveInAPiece_TheRestIsDoneElsewhere) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow,
                                              [&] {
                                                vm.StageAdd(1, 2);
                                                vm.StageAdd(3, 4);
                                                vm.StageLong();
                                                vm.Publish();
                                              }},
                                             {[&] { return vm.guest_ring().waiting() == 3; },
                                              [&] { dispatcher_->Leave(vm.session()); }},
                                             Never([&] { return vm.left != 0; }),
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.left == 1; }}}));
  ASSERT_EQ(vm.left, 1);
  EXPECT_TRUE(dispatcher_->sessions().empty());
  EXPECT_EQ(backend_.order.size(), 1u) << "further pieces of a session that leaves";

  ring::Answer first{}, sum{}, other_sum{}, last{};
  std::vector<Step> steps = {{kNow, [&] { ASSERT_TRUE(isolated_->Begin(vm.session(), true)); }}};
  FinishPieces(2 + 3, &steps, &isolated_backend_);
  steps.push_back({[&] { return vm.Take(3, &last); }});
  PlayIsolated(std::move(steps));
  ASSERT_TRUE(vm.Take(0, &first) && vm.Take(1, &sum) && vm.Take(2, &other_sum));
  EXPECT_EQ(first.code, VGPU_OK);
  EXPECT_EQ(sum.data, 3u);
  EXPECT_EQ(other_sum.data, 7u);
  EXPECT_EQ(last.code, VGPU_OK);
  EXPECT_EQ(vm.guest_ring().counters().taken, 4u);
  EXPECT_EQ(vm.guest_ring().counters().answered, 4u);
}

TEST_F(DispatcherTest, LeaveBetweenPieces_LeavesAtOnce) {
  Vm vm(1, 1);
  Play(Then(BetweenPieces(&vm), std::vector<Step>{{kNow, [&] { dispatcher_->Leave(vm.session()); }},
                                                  {[&] { return vm.left == 1; }}}));
  std::vector<Step> steps = {{kNow, [&] { ASSERT_TRUE(isolated_->Begin(vm.session(), true)); }}};
  FinishPieces(2, &steps, &isolated_backend_);
  ring::Answer answer{};
  steps.push_back({[&] { return vm.Take(0, &answer); }});
  PlayIsolated(std::move(steps));
  EXPECT_EQ(answer.code, VGPU_OK);
}

TEST_F(DispatcherTest, FencedAndLeft_ResetElsewhereLiftsIt) {
  Vm vm(1, 1);
  Play(Then(InAPiece(&vm), std::vector<Step>{{kNow, [&] { vm.SubmitLong(); }},
                                             {[&] { return vm.guest_ring().waiting() == 1; },
                                              [&] {
                                                dispatcher_->Fence(vm.session(), FenceReason::kSlotReused);
                                                dispatcher_->Leave(vm.session());
                                              }},
                                             {kNow, [&] { backend_.Finish(); }},
                                             {[&] { return vm.left == 1; }}}));
  PlayIsolated({{kNow, [&] { ASSERT_TRUE(isolated_->Begin(vm.session(), true)); }},
                {[&] { return vm.EpochIs(VGPU_EPOCH_FENCED); }, [&] { isolated_->Reset(vm.session()); }},
                {[&] { return vm.resets_done == 1; }, [&] { vm.AskEpoch(true); }},
                {[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); },
                 [&] {
                   vm.MakeProducer();
                   vm.SubmitLong();
                 }},
                {[&] { return isolated_backend_.held.has_value(); }}});
}

// ---- descriptors that hold the loop up ----

// Nothing of it is touched until another dispatcher has it; that one bears it, and answers everything once.
TEST_F(DispatcherTest, SlowCall_HeldUntilAnotherHasIt) {
  Vm vm(1, 1), other(2, 1);
  std::optional<test::Crowd> crowd;
  uint32_t staged = 0;
  ring::Answer answer{}, others{};
  std::vector<Step> steps = Then(Opened(&vm), Opened(&other));
  steps.push_back({kNow, [&] {
                     crowd.emplace(vm.call_fd());
                     ASSERT_GT(crowd->waiters(), 10'000) << "how many descriptors may this process have?";
                   }});
  // Again, if the machine had another thread run at that moment.
  steps.push_back({[&] {
    if (vm.slow != 0) return true;
    if (staged != 0 && !vm.Take(staged - 1, &answer)) return false;
    vm.Sleep();
    vm.StageAdd(staged, 1);
    vm.Publish();
    ++staged;
    return false;
  }});
  // It has asked for the next one by now, or has it answered: look first.
  steps.push_back({kNow, [&] {
                     if (staged != 0) vm.Take(staged - 1, &answer);
                     vm.StageAdd(staged, 1);
                     vm.StageLong();
                     vm.StageAdd(staged + 2, 1);
                     vm.Publish();
                     vm.Kick();
                     other.StageAdd(5, 6);
                     other.Publish();
                   }});
  steps.push_back({[&] { return other.Take(0, &others); }});
  steps.push_back(
      Never([&] { return vm.Take(staged, &answer) || backend_.held.has_value() || vm.slow != 1; }));
  steps.push_back({kNow, [&] { dispatcher_->Leave(vm.session()); }});
  steps.push_back({[&] { return vm.left == 1; }});
  Play(std::move(steps));
  ASSERT_EQ(vm.left, 1);
  EXPECT_EQ(others.data, 11u);

  steps = {{kNow, [&] {
              vm.Sleep();
              ASSERT_TRUE(isolated_->Begin(vm.session(), true));
            }}};
  FinishPieces(3, &steps, &isolated_backend_);
  steps.push_back({[&] { return vm.Take(staged + 2, &answer); }});
  PlayIsolated(std::move(steps));
  EXPECT_EQ(answer.data, staged + 3);
  ASSERT_TRUE(vm.Take(staged, &answer));
  EXPECT_EQ(answer.data, staged + 1);
  ASSERT_TRUE(vm.Take(staged + 1, &answer));
  EXPECT_EQ(answer.code, VGPU_OK);
  EXPECT_EQ(vm.guest_ring().counters().answered, staged + 3);
  EXPECT_EQ(vm.slow, 1) << "that a suspect is slow is no news";
}

TEST_F(DispatcherTest, KicksThatBringNothing_MutedForAWhileAndHeardAgain) {
  Vm vm(1, 1);
  uint64_t kicks = 0;
  std::vector<Step> steps = {{kNow, [&] {
                                owners_.Add(&vm);
                                ASSERT_TRUE(dispatcher_->Begin(vm.session(), true));
                              }}};
  const auto muted = [&] { return vm.guest_ring().watch < 0; };
  steps.push_back({[&] {
                     vm.Kick();
                     return muted();
                   },
                   [&] {
                     kicks = vm.guest_ring().counters().kicks;
                     vm.AskEpoch(true);
                   }});
  // Not one kick is heard until it listens again, and then what the guest has asked for is seen.
  steps.push_back({[&] {
    vm.Kick();
    if (!muted()) return true;
    EXPECT_EQ(vm.guest_ring().counters().kicks, kicks);
    return false;
  }});
  steps.push_back({[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); }, [&] { vm.MakeProducer(); }});
  steps.push_back({kNow, [&] { vm.SubmitLong(); }});
  steps.push_back({[&] { return backend_.held.has_value(); }});
  Play(std::move(steps));
  EXPECT_LE(kicks, 32u) << "it was listened to for too long";
}

// A kick for each request is no nuisance.
TEST_F(DispatcherTest, KicksThatBringRequests_AlwaysHeard) {
  Vm vm(1, 1);
  uint32_t next = 0;
  ring::Answer answer{};
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({[&] {
    EXPECT_GE(vm.guest_ring().watch, 0);
    if (next != 0 && !vm.Take(next - 1, &answer)) return false;
    next = vm.StageAdd(1, 1) + 1;
    vm.Publish();
    vm.Kick();
    return next == 500;
  }});
  Play(std::move(steps));
}

// ---- long work, in steps ----

constexpr uint32_t kManyEntries = 4096;

TEST_F(DispatcherTest, EpochOfABigRing_OthersAreAnsweredInBetween) {
  Vm big(1, 1, kManyEntries), other(2, 1);
  int iterations = 0;
  uint64_t answered = 0;
  std::vector<Step> steps = Then(Opened(&big), Opened(&other));
  steps.push_back({kNow, [&] {
                     answered = other.guest_ring().counters().answered;
                     big.AskEpoch(true);
                   }});
  uint32_t idx = 0;
  bool outstanding = false;
  ring::Answer answer{};
  steps.push_back({[&] {
    if (big.EpochIs(VGPU_EPOCH_OPEN)) return true;
    ++iterations;
    if (outstanding && !other.Take(idx, &answer)) return false;
    idx = other.StageAdd(1, 2);
    other.Publish();
    outstanding = true;
    return false;
  }});
  Play(std::move(steps));
  EXPECT_GE(iterations, 32) << "too much at a time";
  EXPECT_GE(other.guest_ring().counters().answered - answered, static_cast<uint64_t>(iterations) / 4)
      << "in " << iterations;
}

TEST_F(DispatcherTest, FenceWithinAnEpoch_AnsweredFencedAndAResetLiftsIt) {
  Vm vm(1, 1, kManyEntries);
  std::vector<Step> steps = Opened(&vm);
  steps.push_back({kNow, [&] { vm.AskEpoch(true); }});
  steps.push_back({[&] { return vm.guest_ring().state() == serve::RingState::kClearing; },
                   [&] { dispatcher_->Fence(vm.session(), FenceReason::kSlotReused); }});
  steps.push_back({[&] { return vm.EpochIs(VGPU_EPOCH_FENCED); }, [&] { dispatcher_->Reset(vm.session()); }});
  steps.push_back({[&] { return vm.resets_done == 1; }, [&] { vm.AskEpoch(true); }});
  steps.push_back({[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); },
                   [&] {
                     vm.MakeProducer();
                     vm.SubmitLong();
                   }});
  steps.push_back({[&] { return backend_.held.has_value(); }});
  Play(std::move(steps));
  EXPECT_EQ(vm.fenced, 1);
}

TEST_F(DispatcherTest, ResetWithinAFence_DoneOnceAndTheRingOpensAgain) {
  constexpr uint32_t kQueued = 3000;
  Vm vm(1, 1, kManyEntries);
  std::vector<Step> steps = InAPiece(&vm);
  steps.push_back({kNow, [&] {
                     for (uint32_t i = 0; i < kQueued; ++i) vm.StageAdd(i, 1);
                     vm.Publish();
                   }});
  steps.push_back({[&] { return vm.guest_ring().waiting() == kQueued; },
                   [&] {
                     dispatcher_->Fence(vm.session(), FenceReason::kSlotReused);
                     backend_.Finish();
                   }});
  steps.push_back({[&] { return vm.guest_ring().state() == serve::RingState::kFencing; },
                   [&] { dispatcher_->Reset(vm.session()); }});
  steps.push_back({[&] { return vm.resets_done == 1; }});
  steps.push_back({[&] { return vm.EpochIs(VGPU_EPOCH_CLOSED); }, [&] { vm.AskEpoch(true); }});
  ring::Answer answer{};
  steps.push_back({[&] { return vm.EpochIs(VGPU_EPOCH_OPEN); },
                   [&] {
                     vm.MakeProducer();
                     vm.StageAdd(20, 22);
                     vm.Publish();
                   }});
  steps.push_back({[&] { return vm.Take(0, &answer); }});
  steps.push_back(Never([&] { return vm.resets_done != 1; }));
  Play(std::move(steps));
  EXPECT_EQ(answer.data, 42u);
  EXPECT_LT(vm.guest_ring().counters().answered, kQueued / 2) << "the reset came after the fence, not within";
}

// ---- arenas of which a hole could stall the loop ----

TEST_F(DispatcherTest, LongArena_TouchedByTheBackendOnly) {
  Vm vm(1, 1, kEntries, 1, /*arenas_are_short=*/false);
  std::vector<Step> steps = Opened(&vm);
  std::vector<uint32_t> asked;
  steps.push_back({kNow, [&] {
                     asked = {vm.StageShort(), vm.StageAdd(1, 2), vm.StageDeviceInfo()};
                     vm.Publish();
                   }});
  std::vector<uint32_t> opcodes;
  for (int piece = 0; piece < 2; ++piece) {
    steps.push_back({[&] { return backend_.held.has_value(); },
                     [&] {
                       opcodes.push_back(backend_.held->request->op->opcode);
                       const Piece& held = *backend_.held;
                       mediator::Run(held.request, held.ring->limits(), held.begin, held.end);
                       backend_.Finish();
                     }});
  }
  ring::Answer answer{};
  steps.push_back({[&] { return vm.Take(asked[2], &answer); }});
  Play(std::move(steps));
  EXPECT_EQ(opcodes, (std::vector<uint32_t>{VGPU_OP_VECTOR_ADD, VGPU_OP_DEVICE_INFO}));
  EXPECT_EQ(answer.code, VGPU_OK);
  EXPECT_EQ(answer.data, sizeof(vgpu_device_info));
  EXPECT_EQ(reinterpret_cast<const vgpu_device_info*>(vm.arena() + 1024)->vm_id, 1u);
}

TEST_F(DispatcherTest, ShortArena_SmallThingsStayInTheLoop) {
  Vm vm(1, 1);
  std::vector<Step> steps = Opened(&vm);
  uint32_t asked = 0;
  steps.push_back({kNow, [&] {
                     vm.StageShort();
                     asked = vm.StageDeviceInfo();
                     vm.Publish();
                   }});
  ring::Answer answer{};
  steps.push_back({[&] { return vm.Take(asked, &answer); }});
  Play(std::move(steps));
  EXPECT_EQ(answer.code, VGPU_OK);
  EXPECT_TRUE(backend_.order.empty());
}

// ---- shares ----

// However many rings a VM has: in the time in which a VM with one ring has had all its requests taken, one
// with eight gets no more of its own taken, but for an iteration.
TEST_F(DispatcherTest, EightRings_OneShare) {
  if (base::kSanitized) GTEST_SKIP() << "in so slow a build a turn ends by its time, not by a VM's share";
  constexpr uint32_t kMany = 256;
  Vm eight(1, 1, kMany, 8), one(2, 1, kMany);
  std::vector<Step> steps = Opened(&one);
  steps.push_back({kNow, [&] {
                     owners_.Add(&eight);
                     ASSERT_TRUE(dispatcher_->Begin(eight.session(), true));
                     for (uint32_t q = 0; q < 8; ++q) eight.AskEpoch(true, q);
                   }});
  for (uint32_t q = 0; q < 8; ++q) {
    steps.push_back(
        {[&eight, q] { return eight.EpochIs(VGPU_EPOCH_OPEN, q); }, [&eight, q] { eight.MakeProducer(q); }});
  }
  steps.push_back({kNow, [&] {
                     for (uint32_t i = 0; i < kMany; ++i) {
                       one.StageAdd(i, 1);
                       for (uint32_t q = 0; q < 8; ++q) eight.StageAdd(i, q, q);
                     }
                     one.Publish();
                     for (uint32_t q = 0; q < 8; ++q) eight.Publish(q);
                   }});
  const auto taken = [](Vm* vm) {
    uint64_t sum = 0;
    for (uint32_t q = 0; q < vm->ring_count(); ++q) sum += vm->guest_ring(q).counters().taken;
    return sum;
  };
  uint64_t of_eight = 0;
  steps.push_back({[&] { return taken(&one) == kMany; }, [&] { of_eight = taken(&eight); }});
  steps.push_back({[&] { return taken(&eight) == 8 * kMany; }});
  Play(std::move(steps));
  EXPECT_LE(of_eight, kMany + 64u);
  EXPECT_GE(of_eight, kMany / 2) << "and no less";
}

// Clearing a ring of 4096 slots takes 64 turns: whoever has eight of them does not get eight turns for each
// of another VM's.
TEST_F(DispatcherTest, Maintenance_VmsHaveTurnsAndNotRings) {
  constexpr uint32_t kMany = 4096, kRings = 8;
  Vm many(1, 1, kMany, kRings), one(2, 1, kMany);
  int iterations = 0;
  Play({{kNow,
         [&] {
           for (Vm* vm : {&many, &one}) {
             owners_.Add(vm);
             ASSERT_TRUE(dispatcher_->Begin(vm->session(), true));
             for (uint32_t q = 0; q < vm->ring_count(); ++q) vm->AskEpoch(true, q);
           }
         }},
        {[&] {
          ++iterations;
          return one.EpochIs(VGPU_EPOCH_OPEN);
        }},
        {[&] { return many.EpochIs(VGPU_EPOCH_OPEN, kRings - 1); }}});
  EXPECT_LT(iterations, 3 * 64) << "every ring had a turn of its own";
}

// ---- with a GPU ----

class DispatcherGpuTest : public DispatcherTest {
 protected:
  Backend Roles() override { return {&backend_, &gpu_, &gpu_}; }
  void OnStop() override { gpu_.Finish(); }

  // Steps that attach a VM, open its ring, and have the GPU serve it.
  std::vector<Step> Served(Vm* vm) {
    std::vector<Step> steps = Opened(vm);
    steps.push_back({[] { return true; }, [this, vm] { gpu_.Serve(vm->session()); }});
    return steps;
  }

  FakeGpu gpu_{&backend_};
};

TEST_F(DispatcherGpuTest, PiecesGoToTheGpu_WhatItHasNoCodeForToTheWorkers) {
  Vm vm(1, 1, kEntries, 1, /*arenas_are_short=*/false);
  std::vector<Step> steps = Served(&vm);
  uint32_t last = 0;
  steps.push_back({kNow, [&] {
                     vm.StageDeviceInfo();
                     last = vm.StageLong();
                     vm.Publish();
                   }});
  steps.push_back({[&] { return backend_.held.has_value(); },
                   [&] {
                     EXPECT_EQ(backend_.held->request->op->opcode, VGPU_OP_DEVICE_INFO);
                     EXPECT_TRUE(gpu_.held.empty()) << "before the request ahead of it had ended";
                     backend_.Finish();
                   }});
  for (int piece = 0; piece < 3; ++piece) {
    steps.push_back({[&] { return !gpu_.held.empty(); }, [&] { gpu_.Finish(); }});
  }
  ring::Answer answer{};
  steps.push_back({[&] { return vm.Take(last, &answer); }});
  Play(std::move(steps));
  EXPECT_EQ(answer.code, VGPU_OK);
  EXPECT_EQ(backend_.order, std::vector<uint32_t>{1});
}

TEST_F(DispatcherGpuTest, EngineLost_TheWorkersRepeatWhatItHadBeforeAnythingNew) {
  Vm on_gpu(1, 1), on_cpu(2, 2);
  std::vector<Step> steps = Then(Served(&on_gpu), Opened(&on_cpu));
  steps.push_back({kNow, [&] {
                     on_gpu.SubmitLong();
                     on_cpu.SubmitLong();
                   }});
  steps.push_back(
      {[&] { return !gpu_.held.empty() && backend_.held.has_value(); }, [&] { gpu_.LoseEngine(); }});
  steps.push_back(Never([&] { return backend_.order.size() != 1; }));
  FinishPieces(6, &steps);
  ring::Answer answer{}, others{};
  steps.push_back({[&] { return on_gpu.Take(0, &answer); }});
  steps.push_back({[&] { return on_cpu.Take(0, &others); }});
  Play(std::move(steps));
  // The higher class has the worker; then what is repeated; then both go on by class.
  EXPECT_EQ(backend_.order, (std::vector<uint32_t>{2, 1, 2, 2, 1, 1}));
}

// The workers are one place, wherever the sessions are that want them.
TEST_F(DispatcherGpuTest, WorkersWantedByVmsOnCpuAndGpu_TheHigherClassFirst) {
  Vm high(1, 2, kEntries, 1, /*arenas_are_short=*/false), low(2, 0);
  std::vector<Step> steps = Then(Served(&high), Opened(&low));
  steps.push_back({kNow, [&] { low.SubmitLong(); }});
  steps.push_back({[&] { return backend_.held.has_value(); },
                   [&] {
                     high.StageDeviceInfo();
                     high.Publish();
                   }});
  steps.push_back({[&] { return high.guest_ring().waiting() == 1; }});
  FinishPieces(4, &steps);
  ring::Answer answer{};
  steps.push_back({[&] { return low.Take(0, &answer); }});
  Play(std::move(steps));
  EXPECT_EQ(backend_.order, (std::vector<uint32_t>{2, 1, 2, 2}));
}

TEST_F(DispatcherGpuTest, EndWhileEnginesHaveItsMemory_EndsWhenItIsFree) {
  Vm vm(1, 1);
  std::vector<Step> steps = Served(&vm);
  steps.push_back({kNow, [&] {
                     gpu_.holds = true;
                     dispatcher_->End(vm.session());
                   }});
  steps.push_back(Never([&] { return vm.ended != 0; }));
  steps.push_back({kNow, [&] { gpu_.Free(vm.session()); }});
  steps.push_back({[&] { return vm.ended == 1; }});
  Play(std::move(steps));
  EXPECT_TRUE(dispatcher_->sessions().empty());
  EXPECT_EQ(vm.session()->placement().state(), PlacementState::kUnplaced);
}

}  // namespace
}  // namespace vgpu::mediator
