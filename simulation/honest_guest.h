// SPDX-License-Identifier: Apache-2.0
// A guest that keeps the rules, and knows what each of its requests must come to: it keeps a copy of its
// arena as it has to be. It may be slow, and it may die.
#ifndef VGPU_SIMULATION_HONEST_GUEST_H_
#define VGPU_SIMULATION_HONEST_GUEST_H_

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "ring/producer.h"
#include "simulation/guest.h"
#include "simulation/order_check.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

struct Manners {
  uint32_t think_ns = 5'000;  // between two things, at most
  bool dies = false;
};

class HonestGuest final : public Guest {
 public:
  // `around` and `order` outlive this.
  HonestGuest(const GuestPlace& place, const Manners& manners, Surroundings* around, OrderCheck* order);

  bool Act() override;
  int64_t next_ns() const override;
  void Drop() override;
  void Halt() override;
  void CheckDaemonSleeps() const override;
  void CheckAge() const override;
  bool Done() const override;

 private:
  using Memory = ring::RealMemory;

  enum class Phase : uint8_t { kOff, kOpening, kRunning, kHalted };

  // A request, and what it must come to.
  struct Wish {
    uint32_t idx = 0;
    uint32_t code = 0;
    uint32_t data = 0;
    bool repeatable = true;
    bool info = false;  // a DEVICE_INFO
    bool published = false;
    bool taken = false;          // its answer
    uint64_t step = 0;           // when it was published
    uint64_t interruptions = 0;  // likewise
  };

  void AskEpoch();
  void CheckEpoch();
  void Open();
  void Work();
  void Kick();
  bool StillOpen() const;
  bool TakeCall();
  bool CallPending() const;

  void StageOne();
  Wish StageAdd();
  Wish StageVector(uint32_t count, bool in_place);
  Wish StageInfo();
  Wish StageRefused();
  uint32_t Stage(uint32_t opcode, std::initializer_list<uint64_t> args);
  void Publish();
  void TakeSome();
  void TakeOne(uint32_t idx);
  void Taken(Wish* wish, ring::Answer answer);
  void CheckAnswer(const Wish& wish, ring::Answer answer);
  void CheckSlotStayed(uint32_t idx) const;
  void CheckMemory();
  void Sleep();
  void Think();

  bool Waits(const Wish& wish) const;
  uint32_t* words() const { return reinterpret_cast<uint32_t*>(place_.arena); }
  uint32_t Word() { return around_->random.Below(words_); }
  [[noreturn]] void Fail(const std::string& what) const;

  const GuestPlace place_;
  const Manners manners_;
  Surroundings* const around_;
  OrderCheck* const order_;
  const uint32_t words_;  // of the arena, for vectors; what comes after them is for DEVICE_INFO
  Phase phase_ = Phase::kOff;
  bool kick_owed_ = false;
  bool asleep_ = false;
  int64_t next_ns_ = 0;
  uint32_t epoch_ = 0;
  uint64_t asked_step_ = 0;
  std::optional<ring::Producer<Memory>> producer_;
  std::deque<Wish> wishes_;        // in order of their indices; the first one is not taken
  std::vector<uint64_t> answers_;  // by slot: the answer that was taken last; 0: none
  std::vector<uint32_t> must_be_;  // the words
  bool unsure_ = false;            // something was interrupted: the words may be anything
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_HONEST_GUEST_H_
