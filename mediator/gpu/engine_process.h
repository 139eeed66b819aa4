// SPDX-License-Identifier: Apache-2.0
// One engine process as the mediator sees it: started, told of regions, killed, and known to be gone only
// when it is. The starter (engine_starter.h) makes and destroys it; between Watch and Unwatch a lane has it.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_PROCESS_H_
#define VGPU_MEDIATOR_GPU_ENGINE_PROCESS_H_

#include <sched.h>
#include <sys/types.h>

#include <bitset>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "base/channel.h"
#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/engine_abi.h"
#include "engine/messages.h"
#include "engine/options.h"
#include "mediator/gpu/engine_handle.h"
#include "mediator/loop/event_loop.h"

namespace vgpu::mediator {

class EngineProcess final : public EngineHandle {
 public:
  // Starts `worker` (worker_program.h) as an engine, which may run on `cpus`, and ends with the thread that
  // has called this.
  static base::Result<std::unique_ptr<EngineProcess>> Start(int worker, const engine::EngineOptions& options,
                                                            const cpu_set_t& cpus);
  // Kills it and waits until it is reaped.
  ~EngineProcess() override;
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  bool Watch(EventLoop* loop, EngineOwner* owner) override;
  void Unwatch() override;
  base::Result<void> AwaitReady(std::chrono::milliseconds patience) override;

  pid_t pid() const { return pid_; }
  bool ready() const { return ready_; }
  bool failed() const { return failed_; }
  const engine::ReadyMessage& hello() const override { return hello_; }
  engine::Area* area() const override { return reinterpret_cast<engine::Area*>(area_.data()); }
  int kick_fd() const override { return kick_.get(); }

  void Register(uint32_t region, const vgpu_layout& layout, const engine::MessageFds& fds) override;
  void Unregister(uint32_t region) override;
  bool Holds(uint32_t region) const override { return holds_[region]; }
  bool Uses(uint32_t region) const override { return uses_[region]; }
  bool busy() const override { return !registrations_.empty(); }
  int blamed_region() const override { return blamed_region_; }

  void Kill() override;
  // Waits for its end, and lets its number go. Afterwards it is nobody's child.
  void Reap();

 private:
  struct SocketReady final : ReadyHandler {
    void OnReady() override { process->OnMessage(); }
    EngineProcess* process;
  };
  struct ProcessGone final : ReadyHandler {
    void OnReady() override { process->OnGone(); }
    EngineProcess* process;
  };

  using Frame = base::Frame<base::UniqueFd>;
  struct Registration {
    engine::MessageType type;
    engine::RegisterMessage message;  // of kUnregister only the region counts
    engine::MessageFds fds;
  };

  EngineProcess(base::Channel channel, base::Mapping area, base::UniqueFd kick);
  void Ask(const Registration& registration);
  void SendNext();
  bool Send(const Registration& registration) const;
  void OnMessage();
  void Handle(const Frame& frame);
  bool Answers(uint32_t type, uint32_t region) const;
  void HandleRegistered(const engine::RegisteredMessage& message);
  void HandleUnregistered(const engine::RegionMessage& message);
  void OnGone();
  void Fail(const std::string& reason);
  void NoteBlamedRegion();

  EventLoop* loop_ = nullptr;
  EngineOwner* owner_ = nullptr;
  base::Channel channel_;
  const base::Mapping area_;
  const base::UniqueFd kick_;
  base::UniqueFd pidfd_;
  pid_t pid_ = -1;
  bool reaped_ = false;
  bool ready_ = false;
  bool failed_ = false;
  int blamed_region_ = -1;
  engine::ReadyMessage hello_{};
  std::bitset<engine::kRegionsMax> holds_;
  std::bitset<engine::kRegionsMax> uses_;
  // The first one is under way; one at a time, so that a slow engine never fills the socket.
  std::deque<Registration> registrations_;
  SocketReady socket_ready_;
  ProcessGone process_gone_;
  int socket_watch_ = -1;
  int process_watch_ = -1;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_PROCESS_H_
