// SPDX-License-Identifier: Apache-2.0
// The control socket: accepts connections, speaks ring/control.h, and turns attaches into sessions.
#ifndef VGPU_MEDIATOR_CONTROL_SERVER_H_
#define VGPU_MEDIATOR_CONTROL_SERVER_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "mediator/background.h"
#include "mediator/config.h"
#include "mediator/dispatcher.h"
#include "mediator/event_loop.h"
#include "mediator/socket_file.h"

namespace vgpu::mediator {

class Connection;

// What all connections need. Everything outlives the server.
struct ControlContext {
  const Config* config;
  EventLoop* loop;
  Dispatcher* dispatcher;
  Background* background;
  const Backend* backend;
  vgpu_device_info device;  // of the backend
};

// Loop's thread only.
class ControlServer final : private ReadyHandler {
 public:
  // Makes the socket and listens; one that a dead mediator left is replaced. Needs LockSocket of this path.
  static ring::Result<std::unique_ptr<ControlServer>> Create(const std::string& path, ControlContext context);
  // Closes all connections. Their sessions are ended by then (Dispatcher::Run has returned).
  ~ControlServer() override;

 private:
  friend class Connection;

  ControlServer(ControlContext context, Listener listener);
  void OnReady() override;
  void FenceBrokenSessions();
  // Is this VM attached, or about to be?
  Connection* FindVm(uint32_t vm_id, const Connection* except);
  void Destroy(Connection* connection);

  ControlContext context_;
  const Listener listener_;
  int watch_ = -1;
  std::string last_refusal_;  // an owner that retries each second is logged once
  std::list<std::unique_ptr<Connection>> connections_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_SERVER_H_
