// SPDX-License-Identifier: Apache-2.0
// The control socket: accepts connections, speaks ring/control.h, turns attaches into sessions, and moves those from thread
// to thread. All of it on the control thread, which serves no rings: whatever a peer does here, no ring waits for it.
#ifndef VGPU_MEDIATOR_CONTROL_SERVER_H_
#define VGPU_MEDIATOR_CONTROL_SERVER_H_

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/attach.h"
#include "mediator/config.h"
#include "mediator/door.h"
#include "mediator/errands.h"
#include "mediator/event_loop.h"
#include "mediator/inspect_errand.h"
#include "mediator/lane.h"
#include "mediator/log_limit.h"
#include "mediator/socket_file.h"

namespace vgpu::mediator {

class Connection;

// What all connections need. Everything outlives the server.
struct ControlContext {
  const Config* config;
  EventLoop* loop;
  Errands* errands;
  Lane* lane;      // for everybody
  Lane* suspects;  // for those who were slow once
  const Clock* clock;
  vgpu_device_info device;  // of the backend
};

// Control thread only.
class ControlServer final : private ReadyHandler {
 public:
  // Makes the socket and listens. Needs LockSocket of this path.
  static base::Result<std::unique_ptr<ControlServer>> Create(const std::string& path, ControlContext context);
  // Closes all connections. The lanes have stopped by then.
  ~ControlServer() override;

  // Serves until *stop, or until a lane is broken.
  void Run(const bool* stop);
  bool broken() const { return broken_; }

  // ---- for its connections ----
  const ControlContext& context() const { return context_; }
  Door& door() { return door_; }
  // Who holds this VM's id, or one of these memories: attached, on its way there, or not quite gone. Null: nobody else.
  Connection* Holder(uint32_t vm_id, const MemoryIds& memory, const Connection* except);
  size_t attached() const;
  // The connection has nothing left. It is destroyed when no function of its own is on the stack any more.
  void Forget() { some_are_gone_ = true; }
  // A status was asked for. It is answered soon: one look at all counters serves all who ask meanwhile.
  void WantStatus() { status_wanted_ = true; }
  void Log(const std::string& line);
  // That a VM came, or went.
  void LogLife(uint32_t vm_id, const std::string& line);

  bool Quarantined(uint32_t vm_id) const { return quarantined_.contains(vm_id); }
  // False: there are as many as there may be.
  bool Quarantine(uint32_t vm_id);
  void Release(uint32_t vm_id);
  // The VM has held up the thread that serves it: how often has it now?
  uint32_t Strike(uint32_t vm_id);
  uint32_t strikes(uint32_t vm_id) const;

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
  void LeftOut(int64_t now_ns);
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
  Door door_;
  LogLimit log_limit_;
  int64_t log_left_out_ns_ = INT64_MAX;  // when to say how many lines were left out
  std::list<std::unique_ptr<Connection>> connections_;
  std::set<uint32_t> quarantined_;
  std::map<uint32_t, uint32_t> strikes_;  // by VM
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

#endif  // VGPU_MEDIATOR_CONTROL_SERVER_H_
