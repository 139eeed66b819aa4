// SPDX-License-Identifier: Apache-2.0
// The epoch handshake: how a ring is opened, closed and reset. The guest asks (epoch_req, then a kick,
// always). The mediator finishes or cancels what is in flight, clears the ring, and only then answers
// (epoch_ack). After a killed program, a reboot or a kexec the next owner asks for a new epoch and starts
// clean in the same way.
#ifndef VGPU_RING_EPOCH_H_
#define VGPU_RING_EPOCH_H_

#include <cstdint>

#include "ring/ring_ref.h"

namespace vgpu::ring {

// Guest: asks for a new epoch, open or closed, and returns it. Kick the ring afterwards; the eventfd orders
// this store before the mediator's load. Nothing may be staged before the answer.
template <class M>
uint32_t RequestEpoch(const RingRef<M>& ring, bool open) {
  const uint32_t asked = vgpu_word_seq(M::LoadRelaxed(ring.epoch_req));
  const uint32_t epoch = vgpu_epoch_next(asked);
  M::StoreRelaxed(ring.call_event, 0);
  M::StoreRelease(ring.epoch_req, vgpu_word(open ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED, epoch));
  return epoch;
}

// Guest: has the mediator carried out this request? *state is VGPU_EPOCH_OPEN, _CLOSED or _FENCED then.
template <class M>
bool EpochAnswered(const RingRef<M>& ring, uint32_t epoch, uint32_t* state) {
  const uint64_t ack = M::LoadAcquire(ring.epoch_ack);
  *state = vgpu_word_data(ack);
  return vgpu_word_seq(ack) == epoch;
}

// Mediator: what the guest asks for. A hostile value is harmless: any change of the word is a new request.
template <class M>
uint64_t RequestedEpoch(const RingRef<M>& ring) {
  return M::LoadAcquire(ring.epoch_req);
}

// Mediator: clears slots [begin, end), so that a request of 255 epochs ago cannot be taken for a new one (a
// tag has 8 bits of the epoch). Nothing may be in flight. Once all are cleared, PublishEpoch answers.
template <class M>
void ClearSlots(const RingRef<M>& ring, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end; ++i) {
    M::StoreRelaxed(ring.submit(i), 0);
    M::StoreRelaxed(ring.done(i), 0);
  }
}

template <class M>
void PublishEpoch(const RingRef<M>& ring, uint32_t epoch, uint32_t state) {
  M::StoreRelaxed(ring.kick_event, 0);
  M::StoreRelease(ring.epoch_ack, vgpu_word(state, epoch));
}

// Mediator: both at once; takes time for a large ring.
template <class M>
void AnswerEpoch(const RingRef<M>& ring, uint32_t epoch, uint32_t state) {
  ClearSlots(ring, 0, ring.entries());
  PublishEpoch(ring, epoch, state);
}

}  // namespace vgpu::ring

#endif  // VGPU_RING_EPOCH_H_
