// SPDX-License-Identifier: Apache-2.0
// One control connection: a state machine over the messages of ring/control.h.
//   new -> greeted -> attaching -> preparing -> attached -> closing
#ifndef VGPU_MEDIATOR_CONNECTION_H_
#define VGPU_MEDIATOR_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "mediator/attach.h"
#include "mediator/control_channel.h"
#include "mediator/control_server.h"
#include "mediator/session.h"

namespace vgpu::mediator {

// Loop's thread only. Lives until nothing of its session is left; its socket, too: an owner that sees the socket
// close after DETACH knows that its memory is unmapped.
class Connection final : private ReadyHandler, private SessionOwner {
 public:
  Connection(ControlServer* server, ring::UniqueFd socket);
  ~Connection() override;

  // Begins to serve. False: too many descriptors are watched.
  bool Open();

  // Holds this VM's id: attached, on its way there, or not quite gone.
  bool Holds(uint32_t vm_id) const;
  bool closing() const { return state_ == State::kClosing; }
  // May the server destroy it?
  bool gone() const { return state_ == State::kClosing && !preparing_ && session_ == nullptr; }
  // An attach that waits for the same VM's earlier session to end.
  void Retry();
  void FenceAfterBusError();

 private:
  enum class State : uint8_t { kNew, kGreeted, kAttaching, kWaiting, kPreparing, kAttached, kClosing };

  // POLLOUT of the same socket.
  struct Writable final : ReadyHandler {
    explicit Writable(Connection* connection) : connection(connection) {}
    void OnReady() override { connection->OnWritable(); }
    Connection* const connection;
  };

  void OnReady() override;
  void OnWritable();
  void OnFenced() override;
  void OnResetDone() override;
  void OnEnded() override;

  void Handle(ControlMessage message);
  void HandleHello(const ControlMessage& message);
  void HandleAttach(ControlMessage message);
  void HandleRing(ControlMessage message);
  void HandleStart();
  void Prepare();
  void Prepared(tl::expected<SessionMemory, Refusal> memory);
  void HandleStatus();
  void Refuse(uint32_t code, const std::string& text);
  void Breach(const std::string& text) { Refuse(VGPU_ERR_INVALID_REQUEST, text); }
  void SendState();
  void AfterSend(bool sent);
  void Close();

  ControlServer* const server_;
  ControlChannel channel_;
  Writable writable_{this};
  State state_ = State::kNew;
  int watch_ = -1;
  int writable_watch_ = -1;
  bool preparing_ = false;  // the background thread works for this connection

  // Between ATTACH and START.
  vgpu_msg_attach claim_{};
  vgpu_layout layout_{};
  Grant grant_{};
  ring::UniqueFd private_file_;
  ring::UniqueFd region_;
  RingEventfds window_;
  std::vector<RingEventfds> rings_;

  std::unique_ptr<Session> session_;
  std::vector<int> guards_;  // of the session's memory against bus errors
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONNECTION_H_
