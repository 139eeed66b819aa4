// SPDX-License-Identifier: Apache-2.0
// The guest's side of one ring in one epoch: stage requests, publish them together, take answers, arm and
// check again.
#ifndef VGPU_RING_PRODUCER_H_
#define VGPU_RING_PRODUCER_H_

#include <cassert>
#include <cstdint>
#include <vector>

#include "ring/event_idx.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {

// Single-threaded: one owner a ring. Allocates in its constructor only. Waits for nobody.
template <class M>
class Producer {
 public:
  // The epoch has been acknowledged as open (ring/epoch.h). `first_idx` is 0 on a fresh ring; tests start
  // near 2^32.
  Producer(RingRef<M> ring, uint32_t epoch, uint32_t first_idx = 0)
      : ring_(ring),
        epoch_(epoch),
        prod_(first_idx),
        published_(first_idx),
        oldest_(first_idx),
        reaped_(first_idx),
        taken_(ring.entries()) {}

  uint32_t outstanding() const { return prod_ - oldest_; }
  bool full() const { return outstanding() == ring_.entries(); }
  uint32_t oldest() const { return oldest_; }
  uint32_t prod() const { return prod_; }
  uint32_t epoch() const { return epoch_; }

  // Writes a request into the next slot and returns its index. The mediator does not see it before Publish:
  // the first staged request is held back, and the mediator takes slots in order. Its arguments are held
  // back, too, since the mediator may be polling that line, which would change hands once more. Needs
  // !full(). `n` is at most VGPU_SLOT_ARGS.
  uint32_t Stage(uint32_t opcode, uint32_t type, const uint64_t* args, uint32_t n) {
    assert(!full() && n <= VGPU_SLOT_ARGS);
    const uint32_t idx = prod_++;
    const uint64_t submit = vgpu_submit_word(opcode, type, ring_.tag(epoch_, idx));
    if (idx == published_) {
      held_.submit = submit;
      for (uint32_t i = 0; i < n; ++i) held_.arg[i] = args[i];
      held_args_ = n;
    } else {
      Write(idx, submit, args, n);
    }
    return idx;
  }

  // Makes everything staged visible at once. True: the mediator sleeps, kick it.
  // Pairs with Consumer::Take (release/acquire) and with Consumer::ArmKick (full fences).
  bool Publish() {
    const uint32_t old_idx = published_;
    if (old_idx == prod_) return false;
    Write(old_idx, held_.submit, held_.arg.data(), held_args_);
    published_ = prod_;
    M::template FullFence<Fence::kPublish>();
    const uint64_t event = M::LoadRelaxed(ring_.kick_event);
    return vgpu_word_seq(event) == epoch_ && vgpu_need_event(vgpu_word_data(event), prod_, old_idx);
  }

  // Takes the answer of an outstanding request; false while there is none. Each answer is taken once.
  // Pairs with Consumer::Complete (release/acquire): results in the arena are visible after true.
  bool Take(uint32_t idx, Answer* answer) {
    if (!Outstanding(idx)) return false;
    const uint64_t done = M::LoadAcquire(ring_.done(idx));
    if (vgpu_done_tag(done) != ring_.tag(epoch_, idx)) return false;
    *answer = {vgpu_done_code(done), vgpu_word_data(done)};
    ++reaped_;
    if (idx == oldest_ && early_ == 0) [[likely]] {
      ++oldest_;
    } else {
      TakeOutOfOrder(idx);
    }
    return true;
  }

  // Takes the answers of up to `n` of the oldest outstanding requests, until one has none; returns how many.
  // It is Take for many, and faster. It takes none while answers that were taken out of order are ahead of an
  // older one.
  uint32_t TakeOldest(uint32_t n, Answer* answers) {
    if (early_ != 0) return 0;
    const uint32_t most = n < published_ - oldest_ ? n : published_ - oldest_;
    uint32_t taken = 0;
    for (; taken < most; ++taken) {
      const uint32_t idx = oldest_ + taken;
      const uint64_t done = M::LoadAcquire(ring_.done(idx));
      if (vgpu_done_tag(done) != ring_.tag(epoch_, idx)) break;
      answers[taken] = {vgpu_done_code(done), vgpu_word_data(done)};
    }
    oldest_ += taken;
    reaped_ += taken;
    return taken;
  }

  // Was this request published, and its answer not taken yet?
  bool Outstanding(uint32_t idx) const {
    return idx - oldest_ < published_ - oldest_ && (early_ == 0 || !taken_[idx & ring_.mask()]);
  }

  // Is its answer in its slot? It may have been taken.
  bool HasAnswer(uint32_t idx) const {
    return vgpu_done_tag(M::LoadAcquire(ring_.done(idx))) == ring_.tag(epoch_, idx);
  }

  // Was this request answered, and not taken yet?
  bool Answered(uint32_t idx) const { return Outstanding(idx) && HasAnswer(idx); }

  // Asks for a call at the next answer, then checks again. True: nothing to take, so it is safe to sleep
  // until the call. False: there is an answer already, and the ring is disarmed. Pairs with
  // Consumer::NeedCall.
  bool ArmCall() {
    M::StoreRelaxed(ring_.call_event, vgpu_word(reaped_, epoch_));
    M::template FullFence<Fence::kArmCall>();
    for (uint32_t idx = oldest_; idx != published_; ++idx) {
      if (Answered(idx)) {
        DisarmCall();
        return false;
      }
    }
    return true;
  }

  // No call is wanted any more. A call already under way may still come: calls can be spurious.
  void DisarmCall() { M::StoreRelaxed(ring_.call_event, vgpu_word(reaped_ - 1, epoch_)); }

 private:
  void Write(uint32_t idx, uint64_t submit, const uint64_t* args, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) M::StoreRelaxed(ring_.arg(idx, i), args[i]);
    M::StoreRelease(ring_.submit(idx), submit);
  }

  void TakeOutOfOrder(uint32_t idx) {
    taken_[idx & ring_.mask()] = 1;
    ++early_;
    while (early_ != 0 && taken_[oldest_ & ring_.mask()]) {
      taken_[oldest_++ & ring_.mask()] = 0;
      --early_;
    }
  }

  const RingRef<M> ring_;
  const uint32_t epoch_;
  uint32_t prod_;       // next index to stage
  uint32_t published_;  // next index to publish
  uint32_t oldest_;     // all before are taken; the slots from here on are in use
  uint32_t reaped_;     // answers taken, counted from first_idx
  SlotCopy held_{};     // the first request that is staged and not published
  uint32_t held_args_ = 0;
  uint32_t early_ = 0;          // answers taken ahead of an older one
  std::vector<uint8_t> taken_;  // by slot: which ones
};

}  // namespace vgpu::ring

#endif  // VGPU_RING_PRODUCER_H_
