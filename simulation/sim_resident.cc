// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_resident.h"

#include <algorithm>
#include <cstring>

#include "gpu/resident_abi.h"
#include "ring/abi.h"

namespace vgpu::simulation {
namespace {

constexpr uint32_t kAddNs = 2'000;
// The one that is stored last comes first.
constexpr uint32_t kWords[] = {VGPU_RESIDENT_B, VGPU_RESIDENT_A, VGPU_RESIDENT_TO, VGPU_RESIDENT_TAG};
constexpr uint64_t kPatience = 15'000;  // steps until the daemon lets it go

}  // namespace

void SimResident::SetState(engine::ResidentState state) {
  state_ = state;
  Memory::StoreRelease(&area_->resident_state, vgpu_word(state, generation_));
}

void SimResident::Want() {
  if (!options_.resident || forbidden_ || state_ != engine::kAway || around_->random.OneIn(3)) return;
  VgpuResidentRing& ring = area_->resident;
  std::memset(static_cast<void*>(ring.entries), 0, sizeof ring.entries);
  std::memset(ring.finished, 0, sizeof ring.finished);
  ++generation_;
  taken_ = 0;
  asked_since_ns_ = around_->now_ns();
  SetState(engine::kHere);
  around_->log.Add("resident comes", generation_);
}

void SimResident::Leave() {
  if (state_ != engine::kHere) return;
  leaving_step_ = around_->steps;
  SetState(engine::kLeaving);
  Memory::FullFence<ring::Fence::kArmKick>();
}

void SimResident::Forbid() {
  forbidden_ = true;
  Leave();
}

void SimResident::GoOn() {
  if (state_ == engine::kAway) return;
  Take();
  Write();
  if (state_ == engine::kHere) {
    const uint64_t asked = Memory::LoadRelaxed(&area_->resident_asked);
    if (asked != asked_) {
      asked_ = asked;
      asked_since_ns_ = around_->now_ns();
    }
    const bool idle = around_->now_ns() - asked_since_ns_ >= int64_t{options_.idle_ms} * 1'000'000;
    if (idle || around_->random.OneIn(2'000)) Leave();  // or another process wants the GPU
  }
  if (state_ == engine::kLeaving && adds_.empty() && Memory::LoadAcquire(&area_->resident_users) == 0) {
    SetState(engine::kAway);
    around_->log.Add("resident away", generation_);
  }
}

// The next request, if all of its words are there.
bool SimResident::Next(Add* add) const {
  const auto entry = static_cast<uint32_t>(taken_ % VGPU_RESIDENT_ENTRIES);
  const uint32_t lap = static_cast<uint32_t>(taken_ / VGPU_RESIDENT_ENTRIES % 0xffffffff) + 1;
  const uint64_t* words = area_->resident.entries[entry].word;
  uint32_t data[4] = {};
  for (const uint32_t word : kWords) {
    const uint64_t value = Memory::LoadAcquire(words + word);
    if (vgpu_word_seq(value) != lap) return false;
    data[word] = vgpu_word_data(value);
  }
  *add = {.entry = entry,
          .lap = lap,
          .to = data[VGPU_RESIDENT_TO],
          .tag = data[VGPU_RESIDENT_TAG],
          .sum = data[VGPU_RESIDENT_A] + data[VGPU_RESIDENT_B],
          .due_ns = 0};
  return true;
}

void SimResident::Take() {
  for (Add add{}; Next(&add); ++taken_) {
    add.due_ns = around_->now_ns() + around_->random.Below(kAddNs);
    adds_.push_back(add);
  }
}

// Into the guest's slot.
void SimResident::Answer(const Add& add) {
  const auto slots = static_cast<uint32_t>(add.to >> VGPU_RESIDENT_SLOT_BITS);
  const auto slot = static_cast<uint32_t>(add.to & ((1u << VGPU_RESIDENT_SLOT_BITS) - 1));
  const uint32_t region = slots / VGPU_RINGS_MAX;
  if (!regions_->Has(region)) throw Violation{"the resident kernel was given a slot of nobody's"};
  uint64_t* done = regions_->DoneWord(region, slots % VGPU_RINGS_MAX, slot);
  Memory::StoreRelease(done, vgpu_word(add.sum, static_cast<uint32_t>(add.tag)));
}

// For the daemon.
void SimResident::Finish(const Add& add) {
  Memory::StoreRelease(&area_->resident.finished[add.entry], vgpu_word(add.sum, add.lap));
}

// The guest may see its answer before the daemon does, or after it.
void SimResident::Write() {
  for (size_t i = 0; i < adds_.size();) {
    Add& add = adds_[i];
    if (add.due_ns > around_->now_ns()) {
      ++i;
      continue;
    }
    if (!add.finished && around_->random.OneIn(4)) {  // the guest's word comes with the next look
      Finish(add);
      add.finished = true;
      ++i;
      continue;
    }
    Answer(add);
    if (!add.finished) Finish(add);
    add = adds_.back();
    adds_.pop_back();
  }
}

void SimResident::Settle() {
  for (Add& add : adds_) {
    if (add.finished) Answer(add);
  }
  std::erase_if(adds_, [](const Add& add) { return add.finished; });
}

bool SimResident::HasWork() const {
  Add next{};
  return state_ != engine::kAway && (!adds_.empty() || Next(&next));
}

int64_t SimResident::NextNs() const {
  if (state_ == engine::kAway) return kNever;
  Add next{};
  if (Next(&next)) return around_->now_ns();
  int64_t next_ns = kNever;
  for (const Add& add : adds_) next_ns = std::min(next_ns, add.due_ns);
  if (state_ == engine::kHere) {
    next_ns = std::min(next_ns, asked_since_ns_ + int64_t{options_.idle_ms} * 1'000'000);
  } else if (Memory::LoadAcquire(&area_->resident_users) == 0) {
    next_ns = std::min(next_ns, around_->now_ns());
  }
  return next_ns;
}

void SimResident::CheckPatience() const {
  if (state_ != engine::kLeaving || around_->steps - leaving_step_ <= kPatience) return;
  throw Violation{"the resident kernel wants to leave, and the daemon does not let go of it"};
}

}  // namespace vgpu::simulation
