// SPDX-License-Identifier: Apache-2.0
// The mediator's side of one ring in one epoch: take requests in order, complete them in any order, arm and
// check again. Everything it decides on is in private memory; what it reads from the ring, it reads once.
#ifndef VGPU_RING_CONSUMER_H_
#define VGPU_RING_CONSUMER_H_

#include <cstdint>

#include "ring/event_idx.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {

// Single-threaded. Allocates nothing, waits for nobody.
template <class M>
class Consumer {
 public:
  Consumer() = default;
  // `cons` is 0 on a fresh ring; after a restart it comes from the journal, and `completed` is the number of
  // requests before `cons` that were answered (modulo 2^32).
  Consumer(RingRef<M> ring, uint32_t epoch, uint32_t cons, uint32_t completed)
      : ring_(ring), epoch_(epoch), cons_(cons), completed_(completed), called_(completed) {}
  Consumer(RingRef<M> ring, uint32_t epoch, uint32_t first_idx = 0)
      : Consumer(ring, epoch, first_idx, first_idx) {}

  uint32_t cons() const { return cons_; }
  uint32_t completed() const { return completed_; }
  uint32_t epoch() const { return epoch_; }
  const RingRef<M>& ring() const { return ring_; }

  // Is the next request there? Reads the slot's first word only.
  bool Ready() const { return SubmitIs(cons_, M::LoadAcquire(ring_.submit(cons_))); }

  // Fetches the lines of the next `count` slots side by side, for reading and for answering. Lines that are
  // not published yet are taken away from the producer's cache for nothing,
  // so `count` should not be too large.
  void Prefetch(uint32_t count) const {
    for (uint32_t i = 1; i < count; ++i) M::PrefetchForWrite(ring_.submit(cons_ + i));
  }

  // Takes the next request; false if there is none. Pairs with Producer::Publish. The caller checks that the
  // slot's earlier request was answered: a guest that reuses a slot before that lies.
  bool Take(SlotCopy* copy) {
    if (!PeekHead(cons_, &copy->submit)) return false;
    TakeArgs(copy);
    return true;
  }

  // Take in two steps, for a caller that may not need all arguments: first the `submit` word of the next
  // request, if it is there; then all its arguments, or only the first one.
  bool PeekHead(uint64_t* submit) const { return PeekHead(cons_, submit); }
  void TakeArgs(SlotCopy* copy) { CopyArgs(cons_++, copy); }
  uint64_t TakeArg() { return M::LoadRelaxed(ring_.arg(cons_++, 0)); }

  // Copies the request of index `idx` if it is in its slot (for a restart, which looks behind `cons`).
  bool Peek(uint32_t idx, SlotCopy* copy) const {
    if (!PeekHead(idx, &copy->submit)) return false;
    CopyArgs(idx, copy);
    return true;
  }

  // Does the slot hold the answer to index `idx`? Only for a restart;
  // a guest that forges it fools itself alone.
  bool HasAnswer(uint32_t idx) const {
    return vgpu_done_tag(M::LoadAcquire(ring_.done(idx))) == ring_.tag(epoch_, idx);
  }

  // Answers a request. Results in the arena were written before, by this thread or one that synchronised with
  // it. Pairs with Producer::Take.
  void Complete(uint32_t idx, Answer answer) {
    M::StoreRelease(ring_.done(idx), vgpu_done_word(answer.data, ring_.tag(epoch_, idx), answer.code));
    ++completed_;
  }

  // The same for an answer that the GPU has written, or is about to. After this it is there. A load is enough
  // where the answer is there already, without a store: by C++20's rule for fences, what was read before
  // NeedCall's fence cannot be missed after ArmCall's fence, if that is the later one. (The model checker
  // knows C++11's rule, which speaks of stores only.)
  void Confirm(uint32_t idx, Answer answer) {
    const uint64_t done = vgpu_done_word(answer.data, ring_.tag(epoch_, idx), answer.code);
    if (M::LoadAcquire(ring_.done(idx)) != done) M::StoreRelease(ring_.done(idx), done);
    ++completed_;
  }

  // After one or more Complete or Confirm: true if the guest sleeps and must
  // be called. Pairs with Producer::ArmCall.
  bool NeedCall() {
    const uint32_t old_count = called_;
    if (old_count == completed_) return false;
    called_ = completed_;
    M::template FullFence<Fence::kComplete>();
    const uint64_t event = M::LoadRelaxed(ring_.call_event);
    return vgpu_word_seq(event) == epoch_ && vgpu_need_event(vgpu_word_data(event), completed_, old_count);
  }

  // Asks for a kick at the next request, then checks again. True: the ring is empty, so it is safe to sleep
  // until the kick. False: there is a request already, and the ring is disarmed. Pairs with
  // Producer::Publish.
  bool ArmKick() {
    M::StoreRelaxed(ring_.kick_event, vgpu_word(cons_, epoch_));
    M::template FullFence<Fence::kArmKick>();
    if (!Ready()) return true;
    DisarmKick();
    return false;
  }

  // No kick is wanted any more. One already under way may still come: kicks can be spurious.
  void DisarmKick() { M::StoreRelaxed(ring_.kick_event, vgpu_word(cons_ - 1, epoch_)); }

 private:
  bool PeekHead(uint32_t idx, uint64_t* submit) const {
    *submit = M::LoadAcquire(ring_.submit(idx));
    return SubmitIs(idx, *submit);
  }
  void CopyArgs(uint32_t idx, SlotCopy* copy) const {
#pragma GCC unroll 6
    for (uint32_t i = 0; i < VGPU_SLOT_ARGS; ++i) copy->arg[i] = M::LoadRelaxed(ring_.arg(idx, i));
  }

  bool SubmitIs(uint32_t idx, uint64_t submit) const {
    return vgpu_submit_tag(submit) == ring_.tag(epoch_, idx);
  }

  RingRef<M> ring_{};
  uint32_t epoch_ = 0;
  uint32_t cons_ = 0;       // next index to take
  uint32_t completed_ = 0;  // answers given, counted from the first index
  uint32_t called_ = 0;     // the count at the last NeedCall
};

}  // namespace vgpu::ring

#endif  // VGPU_RING_CONSUMER_H_
