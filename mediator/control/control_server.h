// SPDX-License-Identifier: Apache-2.0
// The control socket: accepts connections, speaks ring/control.h, turns attaches into sessions, and moves
// those from thread to thread. All of it on the control thread, which serves no rings: whatever a peer does
// here, no ring waits for it.
#ifndef VGPU_MEDIATOR_CONTROL_CONTROL_SERVER_H_
#define VGPU_MEDIATOR_CONTROL_CONTROL_SERVER_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/control/admission.h"
#include "mediator/control/attach.h"
#include "mediator/control/control_context.h"
#include "mediator/control/inspect_task.h"
#include "mediator/control/socket_file.h"
#include "mediator/lane/lane.h"
#include "mediator/loop/event_loop.h"

namespace vgpu::mediator {

// Control thread only.
class ControlServer final : private ReadyHandler, private ConnectionHost {
 public:
  // Makes the socket and listens. Needs LockSocket of this path.
  static base::Result<std::unique_ptr<ControlServer>> Create(const std::string& path, ControlContext context);
  // Closes all connections. The lanes have stopped by then.
  ~ControlServer() override;

  // Serves until *stop, or until a lane is broken.
  void Run(const bool* stop);
  bool broken() const { return broken_; }

 private:
  // Reports of a lane.
  struct Reports final : ReadyHandler {
    void OnReady() override { server->OnReports(lane); }
    ControlServer* server = nullptr;
    Lane* lane = nullptr;
    int watch = -1;
  };
  ControlServer(ControlContext context, Listener listener);
  void OnReady() override;
  // ---- for its connections ----
  Connection* OtherOwner(uint32_t vm_id, const MemoryIds& memory, const Connection* except) override;
  size_t attached() const override;
  void Forget() override { some_are_gone_ = true; }
  void WantStatus() override { status_wanted_ = true; }
  bool Quarantine(uint32_t vm_id) override;
  void Release(uint32_t vm_id) override;

  bool Accept();
  void AcceptWithoutDescriptors(int error);
  void Admit(PeerFd fd);
  bool MakeRoom(const PeerId& peer);
  void Rest(int64_t now_ns);
  void OnReports(Lane* lane);
  void OnFault(Lane* lane);
  void Inspect(Lane* lane);
  void Inspected(const Lane* lane, uint64_t serial, Finding finding);
  int64_t NextDueNs() const;
  void DoDue(int64_t now_ns);
  void AnswerStatus(int64_t now_ns);
  void RemoveGone();
  std::string StatusText() const;
  Connection* Find(const Session* session);

  ControlContext context_;
  const Listener listener_;
  int watch_ = -1;
  base::UniqueFd spare_;  // given up for a moment when there are no descriptors, so that a peer can be told
  Reports reports_[2];
  const int64_t started_ns_;
  Admission admission_;
  Offenders offenders_;
  PeerLog log_;
  const ConnectionShared shared_{context_, *this, admission_, offenders_, log_};
  std::list<std::unique_ptr<Connection>> connections_;
  bool some_are_gone_ = false;
  bool status_wanted_ = false;
  int64_t next_status_ns_ = 0;
  int64_t listen_again_ns_ = INT64_MAX;  // there are no descriptors; nobody is accepted until then
  bool inspecting_ = false;
  Lane* inspect_again_ = nullptr;
  int64_t next_inspection_ns_ = 0;
  bool broken_ = false;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CONTROL_SERVER_H_
