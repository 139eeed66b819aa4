// SPDX-License-Identifier: Apache-2.0
// The tasks of an attach and of its end: from descriptors to a session that is ready to be served, and back
// to nothing.
#ifndef VGPU_MEDIATOR_CONTROL_ATTACH_TASK_H_
#define VGPU_MEDIATOR_CONTROL_ATTACH_TASK_H_

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "api/device_info.h"
#include "mediator/control/attach.h"
#include "mediator/control/memory_thread.h"
#include "mediator/lane/session.h"
#include "mediator/loop/clock.h"

namespace vgpu::mediator {

// What a session is made of, once its owner has sent all of it.
struct AttachParts {
  Identity identity{};
  vgpu_layout layout{};
  vgpu_device_info device{};
  PeerFd private_file;
  PeerFd region;
  PeerFd ring_lines;  // the rings file; invalid with ring=off, and of an older owner
  std::vector<RingEventfds> rings;
  RingEventfds window;
};

class AttachTask final : public MemoryTask {
 public:
  // `done` is called on control's thread. `clock` is that of the dispatchers.
  AttachTask(AttachParts parts, const Clock* clock, std::function<void(AttachTask*)> done);

  bool Step() override;
  void Done() override { done_(this); }

  // Any thread. The session is not wanted any more: the next step begins to unmap.
  void Cancel() { cancelled_.store(true); }

  // Afterwards: the session, or null and why.
  std::unique_ptr<Session> TakeSession() { return std::move(session_); }
  const Refusal& refusal() const { return refusal_; }
  // Of the calls of its guests, in nanoseconds.
  int64_t longest_call_ns() const { return longest_call_ns_; }

 private:
  void MakeSession();

  AttachParts parts_;
  const Clock* const clock_;
  const std::function<void(AttachTask*)> done_;
  MemoryPreparer preparer_;
  std::unique_ptr<Session> session_;
  Refusal refusal_{};
  int64_t longest_call_ns_ = 0;
  std::atomic<bool> cancelled_{false};
  bool undoing_ = false;  // refused or cancelled: unmaps
};

// Unmaps a session's memory, frees it, and closes its descriptors.
class TeardownTask final : public MemoryTask {
 public:
  TeardownTask(std::unique_ptr<Session> session, std::function<void()> done);

  bool Step() override;
  void Done() override { done_(); }

 private:
  std::unique_ptr<Session> session_;
  SessionMemory memory_;
  const std::function<void()> done_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_ATTACH_TASK_H_
