// SPDX-License-Identifier: Apache-2.0
#include "serve/ring_life.h"

#include <algorithm>
#include <utility>

#include "api/codes.h"
#include "base/mutant.h"
#include "ring/epoch.h"

namespace vgpu::serve {
namespace {

// A tag has 8 bits of its epoch; an epoch whose low bits are zero would look like a cleared slot.
bool ValidEpoch(uint32_t epoch) { return (epoch & 0xff) != 0; }

constexpr uint8_t Bit(RingState state) { return static_cast<uint8_t>(1u << static_cast<uint8_t>(state)); }

// From which states this one can be entered.
constexpr uint8_t From(RingState next) {
  using enum RingState;
  switch (next) {
    case kClosed: return Bit(kClosed) | Bit(kOpen) | Bit(kClearing) | Bit(kFencing) | Bit(kFenced);
    case kOpen: return Bit(kClosed) | Bit(kClearing) | Bit(kFencing) | Bit(kFenced);
    case kClearing: return Bit(kClosed);
    case kFencing: return Bit(kClosed) | Bit(kOpen) | Bit(kClearing);
    case kFenced: return Bit(kClosed) | Bit(kFencing);
  }
  return 0;
}

}  // namespace

bool MayFollow(RingState from, RingState to) { return (From(to) & Bit(from)) != 0; }

RingLife::RingLife(ring::RingRef<Memory> ring, vgpu_journal* journal, bool one_epoch, SlotStates states)
    : ring_(ring), journal_(journal, ring.entries()), one_epoch_(one_epoch), states_(states) {}

void RingLife::Enter(RingState next) {
  assert(MayFollow(state_, next));
  state_ = next;
}

// ---- recovery ----

bool RingLife::RecoverEpoch() {
  const uint64_t word = journal_.epoch_word();
  const uint32_t epoch = vgpu_word_seq(word);
  if (!ValidEpoch(epoch)) return false;
  const uint32_t cons = journal_.cons();
  consumer_ = ring::Consumer<Memory>(ring_, epoch, cons, cons);
  next_ = cons;
  epoch_shown_ = epoch;
  const uint32_t state = vgpu_word_data(word);
  // The crash may have come between the journal's entry and what the guest sees of it.
  const bool seen = Memory::LoadAcquire(ring_.epoch_ack) == word;
  if (state == VGPU_EPOCH_FENCED) {
    RecoverFenced(word, seen);
  } else {
    if (!seen) ring::AnswerEpoch(ring_, epoch, state);  // nobody has used this epoch yet
    Enter(state == VGPU_EPOCH_OPEN ? RingState::kOpen : RingState::kClosed);
  }
  return state_ == RingState::kOpen;
}

// The fence was of an earlier session. Guests open a new epoch; the window ring has but one.
void RingLife::RecoverFenced(uint64_t word, bool seen) {
  if (!seen) Memory::StoreRelease(ring_.epoch_ack, word);
  if (!one_epoch_) return;
  Enter(RingState::kFenced);
  LiftFence();
}

// ---- epochs ----

bool RingLife::CheckEpoch() {
  if (in_progress() || state_ == RingState::kFenced || asked_ == Asked::kFence) return false;
  const uint64_t word = ring::RequestedEpoch(ring_);
  const uint32_t known = asked_ == Asked::kEpoch ? vgpu_word_seq(asked_epoch_) : epoch();
  if (vgpu_word_seq(word) == known || !ValidEpoch(vgpu_word_seq(word))) return false;
  AskForEpoch(word);
  return true;
}

void RingLife::AskForEpoch(uint64_t word) {
  asked_ = Asked::kEpoch;
  asked_epoch_ = word;
  if (state_ != RingState::kClearing) Enter(RingState::kClosed);
}

void RingLife::RequestClose() {
  asked_ = Asked::kNothing;
  const uint32_t asked = vgpu_word_seq(ring::RequestedEpoch(ring_));
  if (ValidEpoch(asked)) return AskForEpoch(vgpu_word(VGPU_EPOCH_CLOSED, asked));
  if (state_ != RingState::kClearing) Enter(RingState::kClosed);
}

void RingLife::RequestFence() {
  if (state_ != RingState::kFencing && state_ != RingState::kFenced) asked_ = Asked::kFence;
}

void RingLife::BeginDue() {
  assert(due());
  if (std::exchange(asked_, Asked::kNothing) == Asked::kFence) {
    if (state_ == RingState::kClearing) EnterEpoch(vgpu_word_seq(begun_epoch_));  // answered as fenced
    return Enter(RingState::kFencing);
  }
  const uint32_t state =
      vgpu_word_data(asked_epoch_) == VGPU_EPOCH_OPEN ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED;
  begun_epoch_ = vgpu_word(state, vgpu_word_seq(asked_epoch_));
  journal_.BeginEpoch(epoch(), begun_epoch_);
  cleared_ = 0;
  Enter(RingState::kClearing);
}

bool RingLife::Step(uint32_t slots) {
  assert(in_progress());
  return state_ == RingState::kClearing ? ClearSome(slots) : FenceSome(slots);
}

bool RingLife::ClearSome(uint32_t slots) {
  const uint32_t end = std::min(entries(), cleared_ + slots);
  ring::ClearSlots(ring_, cleared_, end);
  for (uint32_t i = cleared_; i < end; ++i) SlotAt(i) = SlotState::kFree;
  cleared_ = end;
  if (end != entries()) return false;
  const uint32_t epoch = vgpu_word_seq(begun_epoch_);
  const uint32_t state = vgpu_word_data(begun_epoch_);
  ring::PublishEpoch(ring_, epoch, state);
  VGPU_CRASH_POINT("after_epoch_answer");
  EnterEpoch(epoch);
  Enter(state == VGPU_EPOCH_OPEN && asked_ == Asked::kNothing ? RingState::kOpen : RingState::kClosed);
  return true;
}

void RingLife::EnterEpoch(uint32_t epoch) {
  consumer_ = ring::Consumer<Memory>(ring_, epoch);
  next_ = 0;
  epoch_shown_ = epoch;
  waiting_shown_ = 0;
}

// ---- fences ----

bool RingLife::FenceSome(uint32_t slots) {
  for (; next_ != consumer_.cons(); ++next_) {
    if (slots-- == 0) return false;
    if (SlotAt(next_) == SlotState::kQueued) AnswerOne(next_, {VGPU_ERR_FENCED, 0});
  }
  waiting_shown_ = 0;
  const uint64_t fenced = vgpu_word(VGPU_EPOCH_FENCED, epoch());
  journal_.SetEpoch(fenced);
  VGPU_CRASH_POINT("after_fence_journal");
  Memory::StoreRelease(ring_.epoch_ack, fenced);
  Enter(RingState::kFenced);
  return true;
}

void RingLife::LiftFence() {
  assert(one_epoch_);
  if (asked_ == Asked::kFence) asked_ = Asked::kNothing;
  if (state_ == RingState::kFencing) FenceSome(entries());  // few: it is the window's ring
  if (state_ != RingState::kFenced) return;
  const uint64_t open = vgpu_word(VGPU_EPOCH_OPEN, epoch());
  journal_.SetEpoch(open);
  Memory::StoreRelease(ring_.epoch_ack, open);
  Enter(RingState::kOpen);
}

void RingLife::Abandon() {
  asked_ = Asked::kNothing;
  if (in_progress()) Enter(RingState::kClosed);
}

void RingLife::AnswerOne(uint32_t idx, ring::Answer answer) {
  Answer(idx, answer);
  if (!VGPU_MUTANT("leaked_slot")) SlotAt(idx) = SlotState::kFree;
  CountAnswered(1);
  if (answer.code != VGPU_OK) [[unlikely]]
    ++counters_.refused;
}

// ---- waking ----

bool RingLife::Arm() {
  const bool armed = consumer_.ArmKick();
  ++(armed ? counters_.arms_won : counters_.arms_lost);
  return armed;
}

}  // namespace vgpu::serve
