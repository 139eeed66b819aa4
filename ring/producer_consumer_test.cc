// SPDX-License-Identifier: Apache-2.0
// Producer, consumer and epoch handshake on real memory, one thread: what each call promises. tests/model
// proves the orderings, tests/property random sequences.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>

#include "api/codes.h"
#include "api/vector.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "ring/epoch.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {
namespace {

constexpr uint32_t kEpoch = 5;

// A zeroed ring with both sides on it.
class Ring : public testing::Test {
 protected:
  static constexpr uint32_t kEntries = 4;
  static constexpr size_t kBytes = VGPU_SLOTS_OFF + kEntries * sizeof(vgpu_slot);

  explicit Ring(uint32_t first_idx = 0)
      : ref(RingAt(memory, kEntries)), producer(ref, kEpoch, first_idx), consumer(ref, kEpoch, first_idx) {}

  uint32_t Stage(uint64_t arg) { return producer.Stage(VGPU_OP_ADD, VGPU_TYPE_I32, &arg, 1); }
  // Stages and publishes one request.
  uint32_t Submit(uint64_t arg) {
    const uint32_t idx = Stage(arg);
    producer.Publish();
    return idx;
  }
  // The argument of the next request; it must be there.
  uint64_t TakeArg() {
    SlotCopy copy = {};
    EXPECT_TRUE(consumer.Take(&copy));
    return copy.arg[0];
  }
  uint32_t AnswerTo(uint32_t idx) {
    Answer answer = {};
    EXPECT_TRUE(producer.Take(idx, &answer));
    EXPECT_EQ(answer.code, VGPU_OK);
    return answer.data;
  }

  alignas(VGPU_LINE_BYTES) char memory[kBytes] = {};
  RingRef<RealMemory> ref;
  Producer<RealMemory> producer;
  Consumer<RealMemory> consumer;
};

class WrappingRing : public Ring {
 protected:
  WrappingRing() : Ring(0u - 6) {}
};

// ---- requests ----

TEST_F(Ring, Staged_BeforePublish_ConsumerSeesNothing) {
  Stage(1);
  Stage(2);
  EXPECT_FALSE(consumer.Ready());
  SlotCopy copy;
  EXPECT_FALSE(consumer.Take(&copy));
}

// The mediator may be looking at its line all the time.
TEST_F(Ring, Staged_First_ItsSlotIsNotTouchedBeforePublish) {
  const char untouched[sizeof(vgpu_slot)] = {};
  Stage(1);
  Stage(2);
  EXPECT_EQ(std::memcmp(ref.submit(0), untouched, sizeof untouched), 0);
  EXPECT_NE(std::memcmp(ref.submit(1), untouched, sizeof untouched), 0);
  producer.Publish();
  EXPECT_EQ(TakeArg(), 1u);
  EXPECT_EQ(TakeArg(), 2u);
}

TEST_F(Ring, TakeOldest_UpToTheFirstWithoutAnswer) {
  std::array<Answer, kEntries> answers = {};
  for (uint64_t i = 0; i < kEntries; ++i) Submit(i);
  EXPECT_EQ(producer.TakeOldest(kEntries, answers.data()), 0u);
  for (const uint32_t idx : {0u, 1u, 3u}) consumer.Complete(idx, {VGPU_OK, 10 + idx});
  EXPECT_EQ(producer.TakeOldest(1, answers.data()), 1u);
  EXPECT_EQ(answers[0].data, 10u);
  EXPECT_EQ(producer.TakeOldest(kEntries, answers.data()), 1u);
  EXPECT_EQ(answers[0].data, 11u);
  EXPECT_EQ(AnswerTo(3), 13u);
  consumer.Complete(2, {VGPU_OK, 12});
  EXPECT_EQ(producer.TakeOldest(kEntries, answers.data()), 0u) << "one was taken out of order";
  EXPECT_EQ(AnswerTo(2), 12u);
  EXPECT_EQ(producer.outstanding(), 0u);
}

TEST_F(Ring, Published_Batch_ConsumerSeesAllInOrder) {
  for (uint64_t i = 0; i < kEntries; ++i) Stage(i);
  producer.Publish();
  for (uint64_t i = 0; i < kEntries; ++i) EXPECT_EQ(TakeArg(), i);
  EXPECT_FALSE(consumer.Ready());
}

TEST_F(Ring, Request_WordsAndArguments_ArriveUnchanged) {
  const uint64_t args[VGPU_SLOT_ARGS] = {1, ~0ull, 3, 1ull << 63, 5, 6};
  producer.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_F64, args, VGPU_SLOT_ARGS);
  producer.Publish();
  SlotCopy copy;
  ASSERT_TRUE(consumer.Take(&copy));
  EXPECT_EQ(vgpu_word_data(copy.submit), VGPU_OP_VECTOR_ADD | VGPU_TYPE_F64 << 16);
  EXPECT_EQ(std::memcmp(copy.arg.data(), args, sizeof args), 0);
}

TEST_F(WrappingRing, PublishAfterWrap_ConsumerSeesAll) {
  for (uint32_t i = 0; i < 3 * kEntries; ++i) {
    const uint32_t idx = Submit(i);
    EXPECT_EQ(idx, 0u - 6 + i);
    EXPECT_EQ(TakeArg(), i);
    consumer.Complete(idx, {VGPU_OK, i});
    EXPECT_EQ(AnswerTo(idx), i);
  }
}

TEST_F(WrappingRing, BatchAcrossWrap_ConsumerSeesAll) {
  for (uint32_t i = 0; i < 4; ++i) {
    consumer.Complete(Submit(i), {VGPU_OK, i});
    TakeArg();
    AnswerTo(0u - 6 + i);
  }
  for (uint32_t i = 0; i < kEntries; ++i) Stage(100 + i);  // indices -2, -1, 0, 1
  producer.Publish();
  for (uint32_t i = 0; i < kEntries; ++i) EXPECT_EQ(TakeArg(), 100 + i);
  for (uint32_t i = 0; i < kEntries; ++i) consumer.Complete(0u - 2 + i, {VGPU_OK, i});
  for (uint32_t i = 0; i < kEntries; ++i) EXPECT_EQ(AnswerTo(0u - 2 + i), i);
  EXPECT_EQ(producer.outstanding(), 0u);
}

TEST_F(Ring, Full_UntilTheOldestAnswerIsTaken) {
  for (uint32_t i = 0; i < kEntries; ++i) Submit(i);
  EXPECT_TRUE(producer.full());
  for (uint32_t i = 0; i < kEntries; ++i) TakeArg();
  consumer.Complete(1, {VGPU_OK, 0});
  AnswerTo(1);
  EXPECT_TRUE(producer.full()) << "slot 1 is free, but slots are used in order and slot 0 is not";
  consumer.Complete(0, {VGPU_OK, 0});
  AnswerTo(0);
  EXPECT_FALSE(producer.full());
  EXPECT_EQ(producer.outstanding(), kEntries - 2);
  EXPECT_EQ(producer.oldest(), 2u);
}

TEST_F(Ring, ManyLaps_TagsWrapToo_EveryAnswerIsTheRightOne) {
  for (uint32_t i = 0; i < 70000 * kEntries; ++i) {  // a tag counts 65,536 laps
    const uint32_t idx = Submit(i);
    ASSERT_EQ(TakeArg(), i);
    ASSERT_FALSE(producer.Answered(idx)) << "the answer of the lap before";
    consumer.Complete(idx, {VGPU_OK, i});
    ASSERT_EQ(AnswerTo(idx), i);
  }
}

// ---- answers ----

TEST_F(Ring, Answers_OutOfOrder_EachIsTakenOnce) {
  for (uint32_t i = 0; i < 3; ++i) Submit(i);
  for (uint32_t i = 0; i < 3; ++i) TakeArg();
  for (const uint32_t idx : {2u, 0u, 1u}) {
    EXPECT_FALSE(producer.Answered(idx));
    consumer.Complete(idx, {VGPU_OK, 10 + idx});
    EXPECT_TRUE(producer.Answered(idx));
    EXPECT_EQ(AnswerTo(idx), 10 + idx);
    Answer again;
    EXPECT_FALSE(producer.Take(idx, &again));
    EXPECT_FALSE(producer.Answered(idx));
  }
  EXPECT_EQ(consumer.completed(), 3u);
}

TEST_F(Ring, Answer_OfWhatWasNeverAsked_IsNotTaken) {
  consumer.Complete(0, {VGPU_OK, 1});
  Answer answer;
  EXPECT_FALSE(producer.Take(0, &answer)) << "nothing is outstanding";
  Stage(1);
  EXPECT_FALSE(producer.Take(0, &answer)) << "not published";
}

TEST_F(Ring, Answer_CodeAndData_ArriveUnchanged) {
  consumer.Complete(Submit(1), {VGPU_ERR_INTERRUPTED, 0x80000000});
  Answer answer;
  ASSERT_TRUE(producer.Take(0, &answer));
  EXPECT_EQ(answer.code, VGPU_ERR_INTERRUPTED);
  EXPECT_EQ(answer.data, 0x80000000u);
}

// ---- kicks and calls ----

TEST_F(Ring, Kick_OnlyWhenArmed) {
  Stage(1);
  EXPECT_FALSE(producer.Publish()) << "the mediator has not armed";
  EXPECT_FALSE(producer.Publish()) << "nothing new";
  TakeArg();
  ASSERT_TRUE(consumer.ArmKick());
  Stage(2);
  EXPECT_TRUE(producer.Publish());
  Stage(3);
  EXPECT_FALSE(producer.Publish()) << "one kick is enough";
}

TEST_F(Ring, Kick_BatchThatPassesTheEvent_Kicks) {
  ASSERT_TRUE(consumer.ArmKick());
  for (uint32_t i = 0; i < kEntries; ++i) Stage(i);
  EXPECT_TRUE(producer.Publish());
}

TEST_F(Ring, ArmKick_RequestIsThere_DisarmsAndSaysSo) {
  Submit(1);
  EXPECT_FALSE(consumer.ArmKick());
  Stage(2);
  EXPECT_FALSE(producer.Publish()) << "disarmed";
}

TEST_F(Ring, DisarmKick_NoKick) {
  ASSERT_TRUE(consumer.ArmKick());
  consumer.DisarmKick();
  Stage(1);
  EXPECT_FALSE(producer.Publish());
}

TEST_F(Ring, Kick_ArmedInAnotherEpoch_IsNotWanted) {
  Consumer<RealMemory> old(ref, kEpoch - 1);
  ASSERT_TRUE(old.ArmKick());
  Stage(1);
  EXPECT_FALSE(producer.Publish());
}

TEST_F(Ring, Call_OnlyWhenArmed_OnceForMany) {
  for (uint32_t i = 0; i < 4; ++i) Submit(i);
  for (uint32_t i = 0; i < 4; ++i) TakeArg();
  EXPECT_FALSE(consumer.NeedCall()) << "nothing was answered";
  consumer.Complete(0, {});
  EXPECT_FALSE(consumer.NeedCall()) << "the guest has not armed";
  AnswerTo(0);
  ASSERT_TRUE(producer.ArmCall());
  consumer.Complete(2, {});
  consumer.Complete(1, {});
  EXPECT_TRUE(consumer.NeedCall());
  EXPECT_FALSE(consumer.NeedCall());
  consumer.Complete(3, {});
  EXPECT_FALSE(consumer.NeedCall()) << "one call is enough";
}

TEST_F(Ring, ArmCall_AnswerIsThere_DisarmsAndSaysSo) {
  Submit(1);
  Submit(2);
  consumer.Complete(1, {});
  EXPECT_FALSE(producer.ArmCall()) << "an answer out of order counts";
  EXPECT_FALSE(consumer.NeedCall()) << "disarmed";
}

TEST_F(Ring, DisarmCall_NoCall) {
  Submit(1);
  ASSERT_TRUE(producer.ArmCall());
  producer.DisarmCall();
  consumer.Complete(0, {});
  EXPECT_FALSE(consumer.NeedCall());
}

TEST_F(WrappingRing, KickAndCallAcrossWrap_WorkTheSame) {
  for (uint32_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(consumer.ArmKick()) << i;
    const uint32_t idx = Stage(i);
    ASSERT_TRUE(producer.Publish()) << i;
    ASSERT_TRUE(producer.ArmCall()) << i;
    EXPECT_EQ(TakeArg(), i);
    consumer.Complete(idx, {VGPU_OK, i});
    ASSERT_TRUE(consumer.NeedCall()) << i;
    EXPECT_EQ(AnswerTo(idx), i);
  }
}

// ---- epochs ----

TEST_F(Ring, Epoch_OpenAndClose_AreAnswered) {
  const uint32_t open = RequestEpoch(ref, true);
  uint32_t state;
  EXPECT_FALSE(EpochAnswered(ref, open, &state));
  EXPECT_EQ(RequestedEpoch(ref), vgpu_word(VGPU_EPOCH_OPEN, open));
  AnswerEpoch(ref, open, VGPU_EPOCH_OPEN);
  EXPECT_TRUE(EpochAnswered(ref, open, &state));
  EXPECT_EQ(state, VGPU_EPOCH_OPEN);

  const uint32_t closed = RequestEpoch(ref, false);
  EXPECT_NE(closed, open);
  EXPECT_FALSE(EpochAnswered(ref, closed, &state)) << "that was the answer to the epoch before";
  EXPECT_EQ(RequestedEpoch(ref), vgpu_word(VGPU_EPOCH_CLOSED, closed));
  AnswerEpoch(ref, closed, VGPU_EPOCH_FENCED);
  EXPECT_TRUE(EpochAnswered(ref, closed, &state));
  EXPECT_EQ(state, VGPU_EPOCH_FENCED);
}

TEST_F(Ring, Epoch_New_ForgetsRequestsAnswersAndSleepers) {
  ASSERT_TRUE(producer.ArmCall());
  Submit(1);
  TakeArg();
  consumer.Complete(0, {VGPU_OK, 1});
  Submit(2);
  ASSERT_TRUE(consumer.Ready());

  const uint32_t epoch = RequestEpoch(ref, true);
  AnswerEpoch(ref, epoch, VGPU_EPOCH_OPEN);
  for (uint32_t i = 0; i < kEntries; ++i) {
    EXPECT_EQ(*ref.submit(i), 0u);
    EXPECT_EQ(*ref.done(i), 0u);
  }
  Producer<RealMemory> owner(ref, epoch);
  Consumer<RealMemory> mediator(ref, epoch);
  EXPECT_FALSE(mediator.Ready());
  const uint64_t arg = 3;
  EXPECT_EQ(owner.Stage(VGPU_OP_ADD, 0, &arg, 1), 0u);
  EXPECT_FALSE(owner.Publish());
  EXPECT_FALSE(owner.Answered(0));
  mediator.Complete(0, {VGPU_OK, 3});
  EXPECT_FALSE(mediator.NeedCall()) << "the sleeper of the old epoch is gone";
}

TEST_F(Ring, Epoch_LateWritesOfTheOldOwner_AreNotTaken) {
  const uint32_t epoch = RequestEpoch(ref, true);
  AnswerEpoch(ref, epoch, VGPU_EPOCH_OPEN);
  Consumer<RealMemory> mediator(ref, epoch);
  Submit(1);  // in epoch kEpoch
  EXPECT_FALSE(mediator.Ready());
  EXPECT_TRUE(mediator.ArmKick());
  consumer.Complete(0, {VGPU_OK, 1});
  EXPECT_FALSE(mediator.HasAnswer(0));
}

TEST_F(Ring, Epoch_AnyWordInShared_NextOneIsValid) {
  for (const uint64_t hostile :
       {uint64_t{0}, ~uint64_t{0}, uint64_t{0xfe} << 32, uint64_t{0xffffffff} << 32}) {
    *ref.epoch_req = hostile;
    EXPECT_NE(RequestEpoch(ref, true) & 0xffu, 0u) << hostile;
  }
}

// ---- restart ----

TEST_F(WrappingRing, Restart_ChecksBehindCons_FindsWhatIsUnanswered) {
  for (uint32_t i = 0; i < 3; ++i) Submit(100 + i);
  for (uint32_t i = 0; i < 3; ++i) TakeArg();
  consumer.Complete(0u - 5, {VGPU_OK, 7});
  Submit(103);  // not taken

  const uint32_t cons = consumer.cons();  // from the journal
  const Consumer<RealMemory> second(ref, kEpoch, cons);
  std::deque<uint32_t> unanswered;
  for (uint32_t idx = cons - kEntries; idx != cons; ++idx) {
    SlotCopy copy;
    if (second.HasAnswer(idx) || !second.Peek(idx, &copy)) continue;
    EXPECT_EQ(copy.arg[0], 100 + (idx - (0u - 6)));
    unanswered.push_back(idx);
  }
  EXPECT_EQ(unanswered, (std::deque<uint32_t>{0u - 6, 0u - 4}));

  ASSERT_FALSE(producer.ArmCall());
  AnswerTo(0u - 5);
  ASSERT_TRUE(producer.ArmCall());
  Consumer<RealMemory> next(ref, kEpoch, cons, cons - 2);
  EXPECT_FALSE(next.NeedCall());
  next.Complete(0u - 4, {VGPU_OK, 8});
  EXPECT_TRUE(next.NeedCall()) << "it counts on where the dead mediator stopped";
  SlotCopy copy;
  ASSERT_TRUE(next.Take(&copy));
  EXPECT_EQ(copy.arg[0], 103u);
}

}  // namespace
}  // namespace vgpu::ring
