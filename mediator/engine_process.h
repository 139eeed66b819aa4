// SPDX-License-Identifier: Apache-2.0
// One engine process as the mediator sees it: started, told of regions, killed, and known to be gone only when it is.
// The starter (engine_starter.h) makes and destroys it; between Watch and Unwatch a lane has it.
#ifndef VGPU_MEDIATOR_ENGINE_PROCESS_H_
#define VGPU_MEDIATOR_ENGINE_PROCESS_H_

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
#include "mediator/event_loop.h"

namespace vgpu::mediator {

class EngineProcess;

// Called on the loop's thread. Within OnEngineGone the process may be destroyed, also by another thread.
class EngineOwner {
 public:
  virtual ~EngineOwner() = default;
  virtual void OnEngineReady(EngineProcess* engine) = 0;
  // `error` is empty if the region can be used.
  virtual void OnRegistered(EngineProcess* engine, uint32_t region, const std::string& error) = 0;
  virtual void OnUnregistered(EngineProcess* engine, uint32_t region) = 0;
  // It had nothing to do for a while. It may have been given something since.
  virtual void OnEngineIdle(EngineProcess* engine) = 0;
  // It will not answer any more: it says that its GPU is broken, or its socket closed. It may still write.
  virtual void OnEngineFailed(EngineProcess* engine, const std::string& reason) = 0;
  // It has ended, and its memory is gone with it: nothing of it writes any more.
  virtual void OnEngineGone(EngineProcess* engine) = 0;
};

class EngineProcess {
 public:
  // Starts `worker` (worker_program.h) as an engine, which may run on `cpus`, and ends with the thread that has
  // called this.
  static base::Result<std::unique_ptr<EngineProcess>> Start(int worker, const engine::EngineOptions& options,
                                                            const cpu_set_t& cpus);
  // Kills it and waits until it is reaped.
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // From now on `owner` hears of it, on the loop's thread. Both outlive this, or Unwatch. False: the loop has no room.
  bool Watch(EventLoop* loop, EngineOwner* owner);
  void Unwatch();

  // Waits for the first message; the owner is not called. An error is its own sentence, or that it died or took too long.
  base::Result<void> AwaitReady(std::chrono::milliseconds patience);

  pid_t pid() const { return pid_; }
  bool ready() const { return ready_; }
  bool failed() const { return failed_; }
  // What it said when it became ready.
  const engine::ReadyMessage& hello() const { return hello_; }
  engine::Area* area() const { return reinterpret_cast<engine::Area*>(area_.data()); }
  int kick_fd() const { return kick_.get(); }

  // Answers come to the owner, in order. Need ready(). `fds` stay open until OnRegistered.
  void Register(uint32_t region, const vgpu_layout& layout, const engine::MessageFds& fds);
  void Unregister(uint32_t region);
  // May it have this region mapped?
  bool Holds(uint32_t region) const { return holds_[region]; }
  // Has it answered that the GPU can use it?
  bool Uses(uint32_t region) const { return uses_[region]; }

  // Has it been asked for anything that it has not answered?
  bool busy() const { return !errands_.empty(); }
  // Once it is gone: the region at whose registration it hung, or crashed; -1: none. That somebody killed it then is
  // no region's fault.
  int culprit() const { return culprit_; }

  void Kill();
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
  struct Errand {
    engine::MessageType type;
    engine::RegisterMessage message;  // of kUnregister only the region counts
    engine::MessageFds fds;
  };

  EngineProcess(base::Channel channel, base::Mapping area, base::UniqueFd kick);
  void Ask(const Errand& errand);
  void SendNext();
  bool Send(const Errand& errand) const;
  void OnMessage();
  void Handle(const Frame& frame);
  bool Answers(uint32_t type, uint32_t region) const;
  void HandleRegistered(const engine::RegisteredMessage& message);
  void HandleUnregistered(const engine::RegionMessage& message);
  void OnGone();
  void Fail(const std::string& reason);
  void NoteCulprit();

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
  int culprit_ = -1;
  engine::ReadyMessage hello_{};
  std::bitset<engine::kRegionsMax> holds_;
  std::bitset<engine::kRegionsMax> uses_;
  std::deque<Errand> errands_;  // the first one is under way; one at a time, so that a slow engine never fills the socket
  SocketReady socket_ready_;
  ProcessGone process_gone_;
  int socket_watch_ = -1;
  int process_watch_ = -1;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_ENGINE_PROCESS_H_
