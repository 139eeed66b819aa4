// SPDX-License-Identifier: Apache-2.0
// A ring's whole life, in which guests and mediators die at any step: open, use, close, and open again by the
// next owner; and a mediator that starts again from its journal. No time-outs:
// whoever waits for ever is a deadlock.
#ifndef VGPU_TESTS_MODEL_LIFE_SUITE_H_
#define VGPU_TESTS_MODEL_LIFE_SUITE_H_

#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "api/codes.h"
#include "api/vector.h"
#include "ring/consumer.h"
#include "ring/epoch.h"
#include "ring/producer.h"
#include "tests/model/model_memory.h"

namespace vgpu::model {

struct LifePlan {
  uint32_t requests;  // of each owner
  unsigned guest_steps =
      0;  // a first owner dies before one of its first so many steps, or closes; 0: none such
  unsigned mediator_steps = 0;   // a mediator dies before one of its first so many steps, or never
  unsigned mediator_deaths = 0;  // so many mediators may die, one after the other
  bool late_writer =
      false;  // an owner of epoch 1, before them all, goes on writing until the last one stages
  bool epoch_aliases = false;  // the last owner's epoch has the tag of the one before
};

// What survives a mediator: plain memory of its own, written by one process at a time.
struct Journal {
  uint64_t epoch = 0;
  uint32_t cons = 0;
};

constexpr uint32_t kLifeFirstIdx = 0xffffffffu;  // wraps after one request
constexpr uint32_t kLifeEntriesLog2 = 1;
constexpr uint32_t kLateWriterEpoch = 1;

inline uint64_t LifeOperand(uint32_t epoch, uint32_t i) { return uint64_t{epoch} << 8 | i; }
inline uint32_t LifeResult(uint64_t operand) { return static_cast<uint32_t>(3 * operand + 1); }

// One mediator process, from start to death. Bookkeeping of the whole life is in the suite.
template <class Suite>
class MediatorProcess {
 public:
  explicit MediatorProcess(Suite* life) : life_(*life), ref_(life->ring.Ref()) {}
  MediatorProcess(const MediatorProcess&) = delete;
  MediatorProcess& operator=(const MediatorProcess&) = delete;

  void Run() {
    Recover();
    if (Keeps(Rule::kRestartCalls)) life_.ring.call.Write();
    for (;;) {
      const uint64_t asked = ring::RequestedEpoch(ref_);
      if (vgpu_word_seq(asked) != vgpu_word_seq(carried_out_)) CarryOut(asked);
      if (life_.last_owner_closes && vgpu_word_data(carried_out_) == VGPU_EPOCH_CLOSED) return;
      if (consumer_ && Serve()) continue;
      if (!consumer_ || consumer_->ArmKick()) life_.ring.kick.Read();
    }
  }

 private:
  using Request = std::pair<uint32_t, uint64_t>;  // index and operand

  // Goes on where the journal says. An epoch that the guest was not told of has not been used.
  void Recover() {
    const uint64_t epoch = life_.journal.epoch;
    if (vgpu_word_seq(epoch) == 0) return;
    uint32_t state;
    const bool acked =
        ring::EpochAnswered(ref_, vgpu_word_seq(epoch), &state) && state == vgpu_word_data(epoch);
    if (!acked && Keeps(Rule::kRestartFinishesAck)) {
      ring::AnswerEpoch(ref_, vgpu_word_seq(epoch), vgpu_word_data(epoch));
    }
    carried_out_ = epoch;
    if (vgpu_word_data(epoch) != VGPU_EPOCH_OPEN) return;
    const uint32_t cons = life_.journal.cons;
    consumer_.emplace(ref_, vgpu_word_seq(epoch), cons);
    if (!Keeps(Rule::kRestartChecksBehindCons)) return;
    for (uint32_t idx = cons - ref_.entries(); idx != cons; ++idx) {
      ring::SlotCopy copy;
      if (consumer_->HasAnswer(idx) && Keeps(Rule::kRestartSkipsAnswered)) continue;
      if (consumer_->Peek(idx, &copy)) in_flight_.emplace_back(idx, copy.arg[0]);
    }
    const auto unanswered = static_cast<uint32_t>(in_flight_.size());
    consumer_.emplace(ref_, vgpu_word_seq(epoch), cons, cons - unanswered);
  }

  void CarryOut(uint64_t asked) {
    if (Keeps(Rule::kAckAfterEngineStopped)) StopEngine();
    if (Keeps(Rule::kJournalBeforeAck)) WriteJournal(asked);
    ring::AnswerEpoch(ref_, vgpu_word_seq(asked), vgpu_word_data(asked));
    if (!Keeps(Rule::kJournalBeforeAck)) WriteJournal(asked);
    StopEngine();
    carried_out_ = asked;
    life_.ring.call.Write();
    consumer_.reset();
    if (vgpu_word_data(asked) == VGPU_EPOCH_OPEN) {
      consumer_.emplace(ref_, vgpu_word_seq(asked), kLifeFirstIdx);
    }
  }

  // Until it is stopped, the engine may write the results of all that is in flight.
  void StopEngine() {
    for (const auto& [idx, operand] : in_flight_) life_.ring.WriteResult(idx, LifeResult(operand));
    in_flight_.clear();
  }

  // One turn: answers one request in flight, takes what is there. False: there is nothing to do.
  bool Serve() {
    bool worked = false;
    if (!in_flight_.empty()) {
      worked = true;
      Answer(in_flight_.front());
      in_flight_.pop_front();
    }
    ring::SlotCopy copy;
    while (consumer_->Take(&copy)) {
      worked = true;
      RL_ASSERT(copy.arg[0] >> 8 == consumer_->epoch());  // no request of an old epoch
      in_flight_.emplace_back(consumer_->cons() - 1, copy.arg[0]);
      if (Keeps(Rule::kJournalBeforeExecution)) WriteCons();
    }
    if (consumer_->NeedCall()) life_.ring.call.Write();
    return worked;
  }

  void Answer(const Request& request) {
    const auto& [idx, operand] = request;
    RL_ASSERT(life_.ring.ReadOperand(idx) == operand);
    life_.ring.WriteResult(idx, LifeResult(operand));
    RL_ASSERT(!life_.answered.contains(operand));  // exactly once
    consumer_->Complete(idx, {VGPU_OK, LifeResult(operand)});
    life_.answered.insert(operand);
    if (!Keeps(Rule::kJournalBeforeExecution)) WriteCons();
  }

  void WriteCons() {
    Mortality::Step();
    life_.journal.cons = consumer_->cons();
  }
  // Whoever recovers from the middle of this finds the old epoch closed.
  void WriteJournal(uint64_t epoch) {
    Mortality::Step();
    life_.journal.epoch = vgpu_word(VGPU_EPOCH_CLOSED, vgpu_word_seq(carried_out_));
    Mortality::Step();
    life_.journal.cons = kLifeFirstIdx;
    Mortality::Step();
    life_.journal.epoch = epoch;
  }

  Suite& life_;
  const ring::RingRef<ModelMemory> ref_;
  uint64_t carried_out_ = 0;  // the epoch request that this mediator works under
  std::optional<ring::Consumer<ModelMemory>> consumer_;
  std::deque<Request> in_flight_;
};

// Thread 0 is one owner of the ring after the other, thread 1 one mediator after the other: the kernel orders
// what a dead process wrote before its successor. Thread 2 is an owner that is not dead yet.
template <LifePlan kPlan>
struct LifeSuite : rl::test_suite<LifeSuite<kPlan>, kPlan.late_writer ? 3 : 2> {
  ModelRing<kLifeEntriesLog2> ring;
  Journal journal;
  EventFd late_writer_is_dead;
  bool last_owner_closes = false;
  std::set<uint64_t> answered;

  void before() {
    if (!kPlan.late_writer) return;
    const uint64_t open = vgpu_word(VGPU_EPOCH_OPEN, kLateWriterEpoch);
    ModelMemory::StoreRelease(&ring.epoch_req, open);
    ModelMemory::StoreRelease(&ring.epoch_ack, open);
    journal = {open, kLifeFirstIdx};
  }

  void thread(unsigned index) { index == 0 ? Owners() : index == 1 ? Mediators() : LateWriter(); }

  void Owners() {
    if (kPlan.guest_steps > 0) {
      MayDie(kPlan.guest_steps);
      try {
        Owner(/*last=*/false);
      } catch (const Killed&) {}
      Mortality::DieAfter(Mortality::kNever);
    }
    // 254 owners asked for an epoch and died at once.
    if (kPlan.epoch_aliases) ModelMemory::StoreRelease(&ring.epoch_req, vgpu_word(VGPU_EPOCH_OPEN, 255));
    Owner(/*last=*/true);
  }

  void Mediators() {
    for (unsigned i = 0; i < kPlan.mediator_deaths; ++i) {
      MayDie(kPlan.mediator_steps);
      try {
        return MediatorProcess(this).Run();
      } catch (const Killed&) {}
    }
    Mortality::DieAfter(Mortality::kNever);
    MediatorProcess(this).Run();
  }

  static void MayDie(unsigned steps) {
    const unsigned step = rl::rand(steps + 1);
    Mortality::DieAfter(step == steps ? Mortality::kNever : step);
  }

  // Fills both slots with requests of its epoch, whatever the mediator and the next owner do meanwhile.
  void LateWriter() {
    for (uint32_t i = 0; i < ring.kEntries; ++i) {
      const uint32_t idx = kLifeFirstIdx + i;
      const uint64_t operand = LifeOperand(kLateWriterEpoch, i);
      ring.WriteOperand(idx, operand);
      ring.Ref().arg(idx, 0)->plain(RL_INFO).store(operand);
      const uint32_t tag = ring.Ref().tag(kLateWriterEpoch, idx);
      ring.Ref().submit(idx)->atomic.store(vgpu_submit_word(VGPU_OP_ADD, 0, tag), rl::mo_release, RL_INFO);
    }
    ring.kick.Write();
    late_writer_is_dead.Write();
  }

  void Owner(bool last) {
    const uint32_t epoch = Ask(/*open=*/true, VGPU_EPOCH_OPEN);
    if (kPlan.late_writer) late_writer_is_dead.Read();
    ring::Producer<ModelMemory> producer(ring.Ref(), epoch, kLifeFirstIdx);
    uint32_t staged = 0;
    uint32_t taken = 0;
    while (taken < kPlan.requests) {
      while (staged < kPlan.requests && !producer.full()) Stage(&producer, LifeOperand(epoch, staged++));
      if (producer.Publish()) ring.kick.Write();
      const uint32_t before = taken;
      for (uint32_t i = 0; i < staged; ++i) taken += TakeOne(&producer, i);
      if (taken == before && producer.ArmCall()) ring.call.Read();
    }
    last_owner_closes = last;
    Ask(/*open=*/false, VGPU_EPOCH_CLOSED);
  }

  uint32_t Ask(bool open, uint32_t expected_state) {
    const uint32_t epoch = ring::RequestEpoch(ring.Ref(), open);
    ring.kick.Write();
    uint32_t state;
    while (!ring::EpochAnswered(ring.Ref(), epoch, &state)) ring.call.Read();
    RL_ASSERT(state == expected_state);
    return epoch;
  }

  void Stage(ring::Producer<ModelMemory>* producer, uint64_t operand) {
    ring.WriteOperand(producer->prod(), operand);
    ring.WriteResult(producer->prod(), 0);
    producer->Stage(VGPU_OP_ADD, 0, &operand, 1);
  }

  bool TakeOne(ring::Producer<ModelMemory>* producer, uint32_t i) {
    const uint32_t idx = kLifeFirstIdx + i;
    ring::Answer answer;
    if (!producer->Take(idx, &answer)) return false;
    const uint32_t expected = LifeResult(LifeOperand(producer->epoch(), i));
    RL_ASSERT(answer.code == VGPU_OK && answer.data == expected);  // no answer of an old epoch
    RL_ASSERT(ring.ReadResult(idx) == expected);
    return true;
  }
};

}  // namespace vgpu::model

#endif  // VGPU_TESTS_MODEL_LIFE_SUITE_H_
