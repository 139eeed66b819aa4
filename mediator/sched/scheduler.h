// SPDX-License-Identifier: Apache-2.0
// Who is next: strict priority over classes, turns inside a class. Pure: no descriptors, no clock, no rings.
#ifndef VGPU_MEDIATOR_SCHED_SCHEDULER_H_
#define VGPU_MEDIATOR_SCHED_SCHEDULER_H_

#include <array>
#include <cassert>
#include <cstdint>

namespace vgpu::mediator {

inline constexpr uint32_t kPriorities = 3;  // 0 low, 1 medium, 2 high

// Something that wants turns: work of one kind of one VM. It is in at most one run queue at a time.
struct Flow {
  Flow* next = nullptr;
  Flow* prev = nullptr;
  uint8_t priority = 0;
  bool queued = false;
};

// A circular list for each class; the front has the next turn. Every operation takes constant time. Used by
// one thread. A flow must outlive its stay in the queue.
class Scheduler {
 public:
  // The flow has work. It goes to the end of its class, unless it is already in the queue.
  void Add(Flow* flow) {
    assert(flow->priority < kPriorities);
    if (flow->queued) return;
    flow->queued = true;
    Flow*& front = front_[flow->priority];
    if (front == nullptr) {
      front = flow->next = flow->prev = flow;
      return;
    }
    flow->next = front;
    flow->prev = front->prev;
    front->prev->next = flow;
    front->prev = flow;
  }

  // The flow has no work any more.
  void Remove(Flow* flow) {
    if (!flow->queued) return;
    flow->queued = false;
    Flow*& front = front_[flow->priority];
    if (flow->next == flow) {
      front = nullptr;
    } else {
      flow->prev->next = flow->next;
      flow->next->prev = flow->prev;
      if (front == flow) front = flow->next;
    }
    flow->next = flow->prev = nullptr;
  }

  // Whose turn it is: the front of the highest class that has any. Null if none has.
  Flow* Next() const {
    for (uint32_t priority = kPriorities; priority-- > 0;) {
      if (front_[priority] != nullptr) return front_[priority];
    }
    return nullptr;
  }

  // The flow had its turn and has more work: it goes behind the others of its class.
  void Yield(Flow* flow) {
    assert(flow->queued && front_[flow->priority] == flow);
    front_[flow->priority] = flow->next;
  }

  bool empty() const { return Next() == nullptr; }

 private:
  std::array<Flow*, kPriorities> front_{};
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SCHED_SCHEDULER_H_
