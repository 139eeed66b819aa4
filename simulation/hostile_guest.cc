// SPDX-License-Identifier: Apache-2.0
#include "simulation/hostile_guest.h"

#include <unistd.h>

#include "api/vector.h"
#include "mediator/loop/eventfd.h"
#include "ring/epoch.h"

namespace vgpu::simulation {

bool HostileGuest::Act() {
  if (Rests() || next_ns_ > around_->now_ns()) return false;
  Random& random = around_->random;
  next_ns_ = around_->now_ns() + random.Below(20'000);
  const uint32_t what = random.Below(32);
  if (what < 3 || epoch_ == 0) {
    AskEpoch();
  } else if (what < 16) {
    Submit(1 + random.Below(2 * place_.ring.entries()));
  } else if (what < 20) {
    Scribble();
  } else if (what < 28) {
    Kick();
  } else if (what < 30) {
    for (int i = 0; i < 20; ++i) Kick();
  } else if (what < 31) {
    const uint64_t full = ~uint64_t{0} - 1;
    [[maybe_unused]] const ssize_t put = write(place_.call_fd, &full, sizeof full);
  } else {
    next_ns_ += 1'000'000;
  }
  return true;
}

void HostileGuest::AskEpoch() {
  epoch_ = ring::RequestEpoch(place_.ring, !around_->random.OneIn(8));
  prod_ = 0;
  around_->log.Add("hostile epoch", place_.vm_id, place_.index, epoch_);
  Kick();
}

// Requests that look well, whether or not the slots are free.
void HostileGuest::Submit(uint32_t count) {
  Random& random = around_->random;
  around_->log.Add("hostile submit", place_.vm_id, place_.index, prod_, count);
  for (; count != 0; --count, ++prod_) {
    const bool vector = random.OneIn(3);
    const uint64_t elements = random.OneIn(2) ? 2000 : 3;  // for a worker, or for the loop
    const uint64_t args[] = {vector ? elements : random.Next(), 0, vector && random.OneIn(2) ? 0u : 8000u,
                             16000};
    for (uint32_t i = 0; i < 4; ++i) Memory::StoreRelaxed(place_.ring.arg(prod_, i), args[i]);
    const uint32_t opcode = vector ? VGPU_OP_VECTOR_ADD : VGPU_OP_ADD;
    const uint64_t submit = vgpu_submit_word(opcode, VGPU_TYPE_I32, place_.ring.tag(epoch_, prod_));
    Memory::StoreRelease(place_.ring.submit(prod_), submit);
  }
  if (!random.OneIn(4)) Kick();
}

void HostileGuest::Scribble() {
  Random& random = around_->random;
  around_->log.Add("scribble", place_.vm_id, place_.index);
  uint64_t* const words[] = {place_.ring.epoch_req, place_.ring.call_event, place_.ring.epoch_ack,
                             place_.ring.kick_event};
  if (random.OneIn(4)) Memory::StoreRelease(words[random.Below(4)], Garbage());
  for (uint32_t count = random.Below(8); count != 0; --count) {
    const uint32_t word = random.Below(place_.ring.entries() * ring::kSlotWords);
    Memory::StoreRelease(place_.ring.slots + word, Garbage());
  }
  if (random.OneIn(2)) Kick();
}

// Anything, or something that is nearly right.
uint64_t HostileGuest::Garbage() {
  Random& random = around_->random;
  switch (random.Below(4)) {
    case 0: return random.Next();
    case 1: return vgpu_word(random.Below(64), epoch_ + random.Below(3));
    case 2:
      return vgpu_submit_word(random.Below(32), random.Below(8),
                              place_.ring.tag(epoch_, prod_ + random.Below(64)));
    default: return ~uint64_t{0};
  }
}

void HostileGuest::Kick() { mediator::SignalEventfd(place_.kick_fd); }

}  // namespace vgpu::simulation
