// SPDX-License-Identifier: Apache-2.0
// Random sequences of everything that both sides of a ring can do, compared after each step with a plain
// model that counts in 64 bits and therefore never wraps. rapidcheck prints its seed; RC_PARAMS="seed=N"
// repeats a run.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {
namespace {

constexpr uint32_t kEpoch = 3;
constexpr uint32_t kMaxEntries = 16;

// What happens, and to which of the requests that it could happen to.
using Step = std::pair<uint8_t, uint8_t>;

struct Request {
  int64_t idx;
  uint32_t arg;
};

uint32_t ResultOf(uint32_t arg) { return ~arg * 3; }

class Rings {
 public:
  Rings(uint32_t entries, uint32_t first_idx)
      : ref_(RingAt(memory_.data(), entries)),
        producer_(ref_, kEpoch, first_idx),
        consumer_(ref_, kEpoch, first_idx),
        first_(first_idx) {
    prod_ = published_ = cons_ = reaped_ = completed_ = called_ = first_;
  }

  void Do(const Step& step) {
    using Action = void (Rings::*)(size_t);
    static constexpr Action kActions[] = {
        &Rings::Stage,      &Rings::Stage,      &Rings::Publish,         &Rings::Take,
        &Rings::Take,       &Rings::Complete,   &Rings::Complete,        &Rings::NeedCall,
        &Rings::TakeAnswer, &Rings::TakeAnswer, &Rings::ArmKick,         &Rings::ArmCall,
        &Rings::DisarmKick, &Rings::DisarmCall, &Rings::TakeWrongAnswer, &Rings::TakeOldest,
    };
    (this->*kActions[step.first % std::size(kActions)])(step.second);
    RC_ASSERT(producer_.outstanding() == static_cast<uint32_t>(prod_ - oldest()));
    RC_ASSERT(producer_.full() == (prod_ - oldest() == ref_.entries()));
    RC_ASSERT(consumer_.cons() == static_cast<uint32_t>(cons_));
    RC_ASSERT(consumer_.completed() == static_cast<uint32_t>(completed_));
    RC_ASSERT(consumer_.Ready() == (cons_ != published_));
  }

 private:
  int64_t oldest() const { return outstanding_.empty() ? published_ : outstanding_.begin()->first; }

  void Stage(size_t which) {
    if (prod_ - oldest() == ref_.entries()) return;
    const uint64_t arg = static_cast<uint32_t>(prod_ * 31 + which);
    RC_ASSERT(producer_.Stage(VGPU_OP_ADD, 0, &arg, 1) == static_cast<uint32_t>(prod_));
    staged_.push_back({prod_++, static_cast<uint32_t>(arg)});
  }

  void Publish(size_t) {
    const bool progress = !staged_.empty();
    RC_ASSERT(producer_.Publish() == (progress && kick_event_ >= published_ && kick_event_ < prod_));
    for (const Request& request : staged_) {
      ready_.push_back(request);
      outstanding_[request.idx] = request.arg;
    }
    staged_.clear();
    published_ = prod_;
  }

  void Take(size_t) {
    SlotCopy copy;
    RC_ASSERT(consumer_.Take(&copy) == !ready_.empty());
    if (ready_.empty()) return;
    RC_ASSERT(copy.arg[0] == ready_.front().arg);
    in_flight_.push_back(ready_.front());
    ready_.pop_front();
    ++cons_;
  }

  void Complete(size_t which) {
    if (in_flight_.empty()) return;
    const auto it = in_flight_.begin() + static_cast<std::ptrdiff_t>(which % in_flight_.size());
    consumer_.Complete(static_cast<uint32_t>(it->idx), {VGPU_OK, ResultOf(it->arg)});
    answered_.push_back(*it);
    in_flight_.erase(it);
    ++completed_;
  }

  void NeedCall(size_t) {
    RC_ASSERT(consumer_.NeedCall() == (call_event_ >= called_ && call_event_ < completed_));
    called_ = completed_;
  }

  void TakeAnswer(size_t which) {
    if (answered_.empty()) return;
    const auto it = answered_.begin() + static_cast<std::ptrdiff_t>(which % answered_.size());
    Answer answer;
    RC_ASSERT(producer_.Answered(static_cast<uint32_t>(it->idx)));
    RC_ASSERT(producer_.Take(static_cast<uint32_t>(it->idx), &answer));
    RC_ASSERT(answer.code == VGPU_OK);
    RC_ASSERT(answer.data == ResultOf(it->arg));
    outstanding_.erase(it->idx);
    answered_.erase(it);
    ++reaped_;
  }

  // As many as asked for, from the oldest on, up to the first without an answer.
  void TakeOldest(size_t which) {
    std::array<Answer, kMaxEntries> answers;
    const auto most = static_cast<uint32_t>(which % (kMaxEntries + 1));
    const bool in_order = published_ - oldest() == static_cast<int64_t>(outstanding_.size());
    const uint32_t taken = producer_.TakeOldest(most, answers.data());
    uint32_t expected = 0;
    while (in_order && expected < most && !outstanding_.empty()) {
      const int64_t idx = outstanding_.begin()->first;
      const auto it =
          std::find_if(answered_.begin(), answered_.end(), [idx](const Request& r) { return r.idx == idx; });
      if (it == answered_.end()) break;
      RC_ASSERT(answers[expected].code == VGPU_OK);
      RC_ASSERT(answers[expected].data == ResultOf(it->arg));
      outstanding_.erase(idx);
      answered_.erase(it);
      ++reaped_;
      ++expected;
    }
    RC_ASSERT(taken == expected);
  }

  // Any index around the ring that has no answer to take.
  void TakeWrongAnswer(size_t which) {
    const int64_t idx = oldest() - ref_.entries() + static_cast<int64_t>(which % (3 * ref_.entries()));
    for (const Request& request : answered_) {
      if (request.idx == idx) return;
    }
    Answer answer;
    RC_ASSERT_FALSE(producer_.Take(static_cast<uint32_t>(idx), &answer));
  }

  void ArmKick(size_t) {
    RC_ASSERT(consumer_.ArmKick() == ready_.empty());
    kick_event_ = ready_.empty() ? cons_ : cons_ - 1;
  }
  void DisarmKick(size_t) {
    consumer_.DisarmKick();
    kick_event_ = cons_ - 1;
  }
  void ArmCall(size_t) {
    RC_ASSERT(producer_.ArmCall() == answered_.empty());
    call_event_ = answered_.empty() ? reaped_ : reaped_ - 1;
  }
  void DisarmCall(size_t) {
    producer_.DisarmCall();
    call_event_ = reaped_ - 1;
  }

  alignas(VGPU_LINE_BYTES) std::array<char, VGPU_SLOTS_OFF + kMaxEntries * sizeof(vgpu_slot)> memory_{};
  const RingRef<RealMemory> ref_;
  Producer<RealMemory> producer_;
  Consumer<RealMemory> consumer_;

  // The model. Indices and counts do not wrap.
  const int64_t first_;
  int64_t prod_, published_, cons_, reaped_, completed_, called_;
  int64_t kick_event_ = -1;
  int64_t call_event_ = -1;
  std::deque<Request> staged_;
  std::deque<Request> ready_;                // published, not taken by the consumer
  std::vector<Request> in_flight_;           // taken, not answered
  std::vector<Request> answered_;            // the answer is not taken
  std::map<int64_t, uint32_t> outstanding_;  // published, the answer is not taken
};

void RunFrom(uint32_t first_idx) {
  const uint32_t entries = 1u << *rc::gen::inRange(1u, 5u);
  const auto steps = *rc::gen::scale(10.0, rc::gen::arbitrary<std::vector<Step>>());
  Rings rings(entries, first_idx);
  for (const Step& step : steps) rings.Do(step);
}

RC_GTEST_PROP(RingProperty, AnySequence_AcrossTheWrap_AsTheModel, ()) {
  RunFrom(0u - *rc::gen::inRange(0u, 200u));
}

RC_GTEST_PROP(RingProperty, AnySequence_AcrossTheSignBit_AsTheModel, ()) {
  RunFrom(0x80000000u - *rc::gen::inRange(0u, 200u));
}

RC_GTEST_PROP(RingProperty, AnySequence_FreshRing_AsTheModel, ()) { RunFrom(0); }

}  // namespace
}  // namespace vgpu::ring
