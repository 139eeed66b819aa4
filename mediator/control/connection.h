// SPDX-License-Identifier: Apache-2.0
// One control connection: a state machine over the messages of ring/control.h.
//   new -> greeted -> attaching -> waiting -> preparing -> beginning -> attached
//   any -> closing
// An operator's connection stays greeted.
#ifndef VGPU_MEDIATOR_CONTROL_CONNECTION_H_
#define VGPU_MEDIATOR_CONTROL_CONNECTION_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "api/codes.h"
#include "mediator/control/attach.h"
#include "mediator/control/control_channel.h"
#include "mediator/control/control_context.h"
#include "mediator/lane/session.h"

namespace vgpu::mediator {

class AttachTask;

// Control thread only. It lives until nothing of its session is left, and its socket is open for as long: an
// owner that sees the socket close after DETACH knows that its memory is unmapped.
class Connection final : private ReadyHandler {
 public:
  Connection(const ConnectionShared& shared, PeerFd socket, PeerId peer);
  ~Connection() override;

  // Begins to serve. False: too many descriptors are watched.
  bool Open();

  const PeerId& peer() const { return peer_; }
  uint32_t vm_id() const { return identity_.vm_id; }
  const Session* session() const { return session_.get(); }
  const Lane* lane() const { return lane_; }
  // Why it is served apart from the others; "" if it is not.
  const std::string& why_isolated() const { return why_isolated_; }
  bool closing() const { return state_ == State::kClosing; }
  bool served() const { return state_ == State::kAttached; }
  // Holds this VM's id, or one of these memories.
  bool Holds(uint32_t vm_id, const MemoryIds& memory) const;
  // May the server destroy it?
  bool gone() const { return state_ == State::kClosing && tasks_ == 0 && session_ == nullptr; }
  // Not attached, nor on its way there: it may have to go for somebody else. Since when it has been silent.
  bool idle() const { return state_ <= State::kWaiting; }
  // Takes the place of a VM: attached, on its way there, or not quite gone.
  bool takes_place() const {
    return (state_ >= State::kPreparing && state_ < State::kClosing) || (closing() && !gone());
  }
  int64_t silent_since_ns() const { return heard_ns_; }

  // When something is due next: INT64_MAX for never.
  int64_t due_ns() const { return due_ns_; }
  // What is due at this moment: an attach that waits for its turn, a peer that has been silent for too long.
  void DoDue(int64_t now_ns);
  // The attach that waits for another one's end goes on, perhaps.
  void RetryIfWaiting() {
    if (state_ == State::kWaiting) Retry();
  }
  // Ends it from this side, with a reason that the peer is told.
  void Refuse(uint32_t code, const std::string& text);

  void OnReport(const LaneReport& report);
  // Its memory, or a descriptor, has held up the thread that serves it.
  void OnStall(const char* what);
  void Fence(FenceReason reason);
  // Its quarantine has ended: it may attach again.
  void LetGo();
  bool wants_status() const { return wants_status_; }
  void AnswerStatus(const std::string& status);

 private:
  enum class State : uint8_t {
    kNew,
    kGreeted,
    kAttaching,
    kWaiting,
    kPreparing,
    kBeginning,
    kAttached,
    kClosing
  };
  // A move from one lane to the other: none; the first lane is to give the session up;
  // the second is to begin it.
  enum class Move : uint8_t { kNone, kAsked, kAgain };

  // POLLOUT of the same socket.
  struct Writable final : ReadyHandler {
    explicit Writable(Connection* connection) : connection(connection) {}
    void OnReady() override { connection->OnWritable(); }
    Connection* const connection;
  };

  void OnReady() override;
  void OnWritable();

  void Handle(ControlMessage message);
  void HandleHello(const ControlMessage& message);
  void HandleAttach(ControlMessage message);
  tl::expected<void, Refusal> TakeAttachFds(ControlMessage* message);
  void HandleRing(ControlMessage message);
  void HandleStart();
  void HandleReset();
  void RefuseLost();
  void HandleVm(const ControlMessage& message);
  void HandleStatus();
  void Retry();
  void Prepare();
  void Prepared(AttachTask* task);
  void OnBegun();
  void OnFenced(FenceReason reason);
  void OnResetDone(const LaneReport& report);
  void OnLeft();
  void OnEnded();
  void TornDown();

  void Post(LaneCommand::Kind kind, FenceReason reason = FenceReason::kNone);
  void Reset();
  bool Fenced(FenceReason reason) const { return fence_ == reason; }
  std::string WhyIsolated(const AttachTask& task) const;
  void MoveToIsolatedLane();
  void Breach(const std::string& text) { Refuse(VGPU_ERR_INVALID_REQUEST, text); }
  void SendRingState();
  void AfterSend(bool sent);
  void Close(const std::string& why);
  std::string Name() const;

  const ConnectionShared& shared_;
  const PeerId peer_;
  ControlChannel channel_;
  Writable writable_{this};
  State state_ = State::kNew;
  int watch_ = -1;
  int writable_watch_ = -1;
  int64_t heard_ns_;
  int64_t due_ns_ = INT64_MAX;
  bool wants_status_ = false;
  uint32_t unread_ = 0;  // questions since the last answer, which it has not read

  // Between ATTACH and START.
  vgpu_msg_attach claim_{};
  vgpu_layout layout_{};
  Identity identity_{};
  PeerFd private_file_;
  PeerFd region_;
  PeerFd ring_lines_;  // the rings file
  MemoryIds memory_{};
  RingEventfds window_;
  std::vector<RingEventfds> rings_;

  int tasks_ = 0;                 // that will come back to this connection
  AttachTask* attach_ = nullptr;  // one of them
  std::unique_ptr<Session> session_;
  Lane* lane_ = nullptr;  // that has the session, or is about to
  Move move_ = Move::kNone;
  std::string why_isolated_;
  uint32_t fences_asked_ = 0;  // a bit for each reason that was posted and has not been reported
  // As a lane has said last: its owner is told of one after the other.
  FenceReason fence_ = FenceReason::kNone;
  bool resetting_ = false;     // a lane resets it
  bool reset_wanted_ = false;  // another RESET came meanwhile, or one before GRANT
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CONNECTION_H_
