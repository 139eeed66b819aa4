// SPDX-License-Identifier: Apache-2.0
#include "simulation/honest_guest.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "mediator/loop/eventfd.h"
#include "ring/epoch.h"

namespace vgpu::simulation {
namespace {

constexpr uint32_t kWordsMax = 5120;
constexpr uint32_t kUnknownOpcode = 9;
constexpr uint32_t kInlineWords = 1024;  // longer vectors go to workers
constexpr uint64_t kAgeMax = 15'000;     // steps until an answer

uint32_t WordsFor(uint64_t arena_bytes) {
  return std::min<uint32_t>(kWordsMax,
                            static_cast<uint32_t>((arena_bytes - sizeof(vgpu_device_info)) / 4 / 2 * 2));
}

bool Apart(uint32_t x, uint32_t y, uint32_t count) { return x >= y ? x - y >= count : y - x >= count; }

}  // namespace

HonestGuest::HonestGuest(const GuestPlace& place, const Manners& manners, Surroundings* around,
                         OrderCheck* order)
    : place_(place),
      manners_(manners),
      around_(around),
      order_(order),
      words_(WordsFor(place.arena_bytes)),
      answers_(place.ring.entries()),
      must_be_(words_) {
  for (uint32_t i = 0; i < words_; ++i) words()[i] = static_cast<uint32_t>(around_->random.Next());
}

void HonestGuest::Fail(const std::string& what) const {
  throw Violation{"VM " + std::to_string(place_.vm_id) + ", ring " + std::to_string(place_.index) +
                  ", epoch " + std::to_string(epoch_) + ": " + what};
}

// ---- what it does ----

bool HonestGuest::Act() {
  if (phase_ == Phase::kHalted) return false;
  if (asleep_ && !TakeCall()) return false;
  if (asleep_) {
    asleep_ = false;
    next_ns_ = 0;
    if (producer_) producer_->DisarmCall();
  }
  if (next_ns_ > around_->now_ns()) return false;
  if (kick_owed_ && !around_->random.OneIn(4)) {
    Kick();
    return true;
  }
  switch (phase_) {
    case Phase::kOff:
      if (around_->draining) return false;
      AskEpoch();
      return true;
    case Phase::kOpening: CheckEpoch(); return true;
    case Phase::kRunning: Work(); return true;
    case Phase::kHalted: break;
  }
  return false;
}

int64_t HonestGuest::next_ns() const {
  if (phase_ == Phase::kHalted || asleep_) return kNever;
  if (around_->draining && phase_ == Phase::kOff) return kNever;
  return next_ns_;
}

void HonestGuest::Drop() {
  phase_ = Phase::kOff;
  kick_owed_ = asleep_ = false;
  next_ns_ = around_->now_ns() + around_->random.Below(100'000);
  producer_.reset();
  wishes_.clear();
}

void HonestGuest::Halt() {
  Drop();
  phase_ = Phase::kHalted;
}

void HonestGuest::AskEpoch() {
  epoch_ = ring::RequestEpoch(place_.ring, true);
  around_->log.Add("asks for epoch", place_.vm_id, place_.index, epoch_);
  phase_ = Phase::kOpening;
  kick_owed_ = true;
  asked_step_ = around_->steps;
}

void HonestGuest::CheckEpoch() {
  uint32_t state = 0;
  if (!ring::EpochAnswered(place_.ring, epoch_, &state)) {
    asleep_ = !kick_owed_;
    return;
  }
  if (state == VGPU_EPOCH_OPEN) return Open();
  phase_ = Phase::kOff;  // closed by a reset, or fenced: it asks again
}

// Nothing of it runs any more: the words stay what they are now.
void HonestGuest::Open() {
  around_->log.Add("opens", place_.vm_id, place_.index, epoch_);
  phase_ = Phase::kRunning;
  producer_.emplace(place_.ring, epoch_);
  wishes_.clear();
  std::fill(answers_.begin(), answers_.end(), 0);
  std::memcpy(must_be_.data(), words(), words_ * sizeof(uint32_t));
  unsure_ = false;
  order_->Opened(place_.vm_id, place_.index);
}

void HonestGuest::Work() {
  if (!StillOpen()) return Drop();  // the device was reset, or is fenced
  Random& random = around_->random;
  const uint32_t what = random.Below(16);
  if (what < 3 && !around_->draining) {
    for (uint32_t count = 1 + random.Below(8); count != 0 && !producer_->full(); --count) StageOne();
  } else if (what < 6) {
    Publish();
  } else if (what < 10) {
    TakeSome();
  } else if (what < 12) {
    Sleep();
  } else if (what < 15 || around_->draining) {
    Think();
  } else if (random.OneIn(200)) {
    AskEpoch();  // with or without requests under way
    producer_.reset();
    wishes_.clear();
  } else if (manners_.dies && random.OneIn(100)) {
    around_->log.Add("guest dies", place_.vm_id, place_.index);
    Drop();
  }
}

void HonestGuest::Kick() {
  around_->log.Add("kick", place_.vm_id, place_.index);
  kick_owed_ = false;
  mediator::SignalEventfd(place_.kick_fd);
}

bool HonestGuest::StillOpen() const {
  uint32_t state = 0;
  return ring::EpochAnswered(place_.ring, epoch_, &state) && state == VGPU_EPOCH_OPEN;
}

bool HonestGuest::TakeCall() {
  uint64_t count = 0;
  if (read(place_.call_fd, &count, sizeof count) != sizeof count) return false;
  around_->log.Add("called", place_.vm_id, place_.index, count);
  return true;
}

bool HonestGuest::CallPending() const {
  pollfd watched{place_.call_fd, POLLIN, 0};
  return poll(&watched, 1, 0) == 1;
}

// ---- requests ----

uint32_t HonestGuest::Stage(uint32_t opcode, std::initializer_list<uint64_t> args) {
  CheckSlotStayed(producer_->prod());
  return producer_->Stage(opcode, VGPU_TYPE_I32, args.begin(), static_cast<uint32_t>(args.size()));
}

void HonestGuest::StageOne() {
  Random& random = around_->random;
  const uint32_t kind = random.Below(100);
  Wish wish;
  if (kind < 60) {
    wish = StageAdd();
  } else if (kind < 80) {
    wish = StageVector(1 + random.Below(64), false);
  } else if (kind < 88) {
    wish = StageVector(1 + random.Below(64), true);
  } else if (kind < 92) {
    wish = StageVector(kInlineWords + 1 + random.Below(400), random.OneIn(2));
  } else if (kind < 96) {
    wish = StageInfo();
  } else {
    wish = StageRefused();
  }
  wishes_.push_back(wish);
}

HonestGuest::Wish HonestGuest::StageAdd() {
  const uint64_t operands = around_->random.Next();
  Wish wish;
  wish.idx = Stage(VGPU_OP_ADD, {operands});
  wish.data = vgpu_word_data(operands) + vgpu_word_seq(operands);
  return wish;
}

// The words are computed when the request is made: requests of a ring run in order.
HonestGuest::Wish HonestGuest::StageVector(uint32_t count, bool in_place) {
  const uint32_t starts = words_ - count;
  const uint32_t c = Word() % starts;
  uint32_t a = Word() % starts;
  uint32_t b = Word() % starts;
  if (in_place || !Apart(a, c, count)) a = c;
  if (!Apart(b, c, count)) b = c;
  Wish wish;
  wish.idx = Stage(VGPU_OP_VECTOR_ADD, {count, 4 * uint64_t{a}, 4 * uint64_t{b}, 4 * uint64_t{c}});
  wish.repeatable = a != c && b != c;
  for (uint32_t i = 0; i < count; ++i) must_be_[c + i] = must_be_[a + i] + must_be_[b + i];
  return wish;
}

HonestGuest::Wish HonestGuest::StageInfo() {
  Wish wish;
  wish.idx = Stage(VGPU_OP_DEVICE_INFO, {4 * uint64_t{words_}, sizeof(vgpu_device_info)});
  wish.data = sizeof(vgpu_device_info);
  wish.info = true;
  return wish;
}

HonestGuest::Wish HonestGuest::StageRefused() {
  Wish wish;
  if (around_->random.OneIn(2)) {
    wish.idx = Stage(kUnknownOpcode, {});
    wish.code = VGPU_ERR_UNSUPPORTED;
  } else {
    wish.idx = Stage(VGPU_OP_VECTOR_ADD, {place_.arena_bytes, 0, 0, 0});
    wish.code = VGPU_ERR_TOO_LARGE;
  }
  return wish;
}

void HonestGuest::Publish() {
  for (Wish& wish : wishes_) {
    if (wish.published) continue;
    wish.published = true;
    wish.step = around_->steps;
    wish.interruptions = around_->interruptions;
  }
  around_->log.Add("publish", place_.vm_id, place_.index, producer_->prod());
  if (!producer_->Publish()) return;
  kick_owed_ = true;
  if (!around_->random.OneIn(4)) Kick();
}

// ---- answers ----

void HonestGuest::TakeSome() {
  if (wishes_.empty()) return;
  const bool any_order = wishes_.size() > 1 && around_->random.OneIn(3);
  if (any_order) {
    TakeOne(wishes_[around_->random.Below(static_cast<uint32_t>(wishes_.size()))].idx);
  } else {
    for (uint32_t count = 1 + around_->random.Below(16); count != 0 && !wishes_.empty(); --count) {
      TakeOne(wishes_.front().idx);
    }
  }
  if (wishes_.empty()) CheckMemory();
}

void HonestGuest::TakeOne(uint32_t idx) {
  Wish& wish = wishes_[idx - wishes_.front().idx];
  assert(wish.idx == idx);
  ring::Answer answer{};
  if (wish.taken || !wish.published || !producer_->Take(idx, &answer)) return;
  Taken(&wish, answer);
  while (!wishes_.empty() && wishes_.front().taken) wishes_.pop_front();
}

void HonestGuest::Taken(Wish* wish, ring::Answer answer) {
  around_->log.Add("answer", place_.vm_id << 8 | place_.index, wish->idx, answer.code, answer.data);
  ++around_->answers;
  wish->taken = true;
  answers_[wish->idx & place_.ring.mask()] = Memory::LoadAcquire(place_.ring.done(wish->idx));
  CheckAnswer(*wish, answer);
}

void HonestGuest::CheckAnswer(const Wish& wish, ring::Answer answer) {
  const std::string request = "request " + std::to_string(wish.idx);
  if (answer.code == VGPU_ERR_INTERRUPTED && answer.code != wish.code) {
    if (wish.repeatable) Fail(request + " was interrupted, and could have been repeated");
    if (wish.interruptions == around_->interruptions) Fail(request + " was interrupted, and nobody has died");
    unsure_ = true;
    return;
  }
  if (answer.code != wish.code || answer.data != wish.data) {
    Fail(request + " was answered " + std::to_string(answer.code) + " " + std::to_string(answer.data) +
         " instead of " + std::to_string(wish.code) + " " + std::to_string(wish.data));
  }
  if (!wish.info) return;
  vgpu_device_info info;
  std::memcpy(&info, place_.arena + 4 * size_t{words_}, sizeof info);
  if (info.vm_id != place_.vm_id) Fail(request + " brought another VM's device info");
}

// The slot is to be used again: since its answer was taken, nobody has answered it once more.
void HonestGuest::CheckSlotStayed(uint32_t idx) const {
  const uint64_t taken = answers_[idx & place_.ring.mask()];
  if (taken != 0 && Memory::LoadAcquire(place_.ring.done(idx)) != taken) {
    Fail("the answer before request " + std::to_string(idx) + " in its slot has changed");
  }
}

// Nothing is under way.
void HonestGuest::CheckMemory() {
  if (unsure_) {
    std::memcpy(must_be_.data(), words(), words_ * sizeof(uint32_t));
    unsure_ = false;
    return;
  }
  for (uint32_t i = 0; i < words_; ++i) {
    if (words()[i] == must_be_[i]) continue;
    Fail("word " + std::to_string(i) + " is " + std::to_string(words()[i]) + " instead of " +
         std::to_string(must_be_[i]));
  }
}

// ---- waiting ----

void HonestGuest::Sleep() {
  const bool any = std::any_of(wishes_.begin(), wishes_.end(),
                               [](const Wish& wish) { return wish.published && !wish.taken; });
  if (!any || kick_owed_) return Think();
  if (!producer_->ArmCall()) return TakeSome();
  around_->log.Add("sleeps", place_.vm_id, place_.index);
  asleep_ = true;
}

void HonestGuest::Think() {
  const bool long_one = around_->random.OneIn(64);
  next_ns_ =
      around_->now_ns() + around_->random.Below(long_one ? 100 * manners_.think_ns : manners_.think_ns);
}

// ---- checks ----

bool HonestGuest::Waits(const Wish& wish) const {
  return wish.published && !wish.taken && !producer_->Answered(wish.idx);
}

void HonestGuest::CheckDaemonSleeps() const {
  if (kick_owed_) return;
  if (phase_ == Phase::kOpening) {
    uint32_t state = 0;
    const bool answered = ring::EpochAnswered(place_.ring, epoch_, &state);
    if (!answered) Fail("the daemon sleeps, and its epoch was not answered");
    if (asleep_ && !CallPending()) Fail("its epoch was answered, and nobody calls it");
  }
  if (phase_ != Phase::kRunning || !StillOpen()) return;
  bool any_answer = false;
  for (const Wish& wish : wishes_) {
    if (Waits(wish)) Fail("the daemon sleeps, and request " + std::to_string(wish.idx) + " waits");
    any_answer |= wish.published && !wish.taken;
  }
  if (asleep_ && any_answer && !CallPending()) Fail("it sleeps, its answer is there, and nobody calls it");
}

void HonestGuest::CheckAge() const {
  if (kick_owed_) return;
  if (phase_ == Phase::kOpening && asleep_ && around_->steps - asked_step_ > kAgeMax) {
    Fail("it has waited for its epoch for too long");
  }
  if (phase_ != Phase::kRunning || wishes_.empty() || !StillOpen()) return;
  const Wish& oldest = wishes_.front();
  if (Waits(oldest) && around_->steps - oldest.step > kAgeMax) {
    Fail("request " + std::to_string(oldest.idx) + " has waited for too long");
  }
}

bool HonestGuest::Done() const {
  return phase_ == Phase::kOff || phase_ == Phase::kHalted || (phase_ == Phase::kRunning && wishes_.empty());
}

}  // namespace vgpu::simulation
