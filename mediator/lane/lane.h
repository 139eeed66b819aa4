// SPDX-License-Identifier: Apache-2.0
// A thread that serves rings and does nothing else. Control gives it sessions ready-made and takes them back.
// Control tells it commands, and it tells control reports. There are two lanes: the common one, and the
// isolated one, for VMs whose memory or descriptors have held up a lane.
#ifndef VGPU_MEDIATOR_LANE_LANE_H_
#define VGPU_MEDIATOR_LANE_LANE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "api/device_info.h"
#include "base/result.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/device_describer.h"
#include "mediator/lane/dispatcher.h"
#include "mediator/lane/memory_holder.h"
#include "mediator/loop/event_loop.h"
#include "mediator/loop/mailbox.h"

namespace vgpu::mediator {

// From control to a lane. A session has at most one of each under way.
struct LaneCommand {
  enum class Kind : uint8_t { kBegin, kBeginAgain, kReset, kFence, kLeave, kEnd, kStop };
  Kind kind = Kind::kStop;
  FenceReason reason = FenceReason::kNone;  // of kFence
  Session* session = nullptr;
};

// From a lane to control.
struct LaneReport {
  enum class Kind : uint8_t {
    kBegun,     // served from now on
    kNotBegun,  // too many descriptors are watched
    kFenced,
    kResetDone,
    kSlow,  // suspended: control answers kLeave
    kLeft,
    kEnded,
    kFault,   // some VM's pages were taken away. No session
    kBroken,  // the kernel refuses the event loop: the lane has stopped, and error() says why. No session
  };
  Kind kind = Kind::kFault;
  // Of kFenced; of kResetDone if it is fenced all the same, since no reset lifts that, or it has lied again.
  FenceReason reason = FenceReason::kNone;
  Session* session = nullptr;
};

struct LaneOptions {
  std::string name;  // of its thread, at most 15 characters
  uint32_t watches_max = 0;
  DispatcherOptions dispatcher;
};

// What computes for a lane. The lane's thread makes it and destroys it; the GPUs, which may use the
// workers, go first.
struct LaneBackend {
  std::unique_ptr<Workers> workers;            // never null
  std::unique_ptr<Gpus> gpus;                  // null: there is no GPU
  MemoryHolder* memory = nullptr;              // another role of the GPUs' object; null: there is no GPU
  const DeviceDescriber* describer = nullptr;  // another role of one of both objects; never null
};

class Lane final : private SessionOwner, private ReadyHandler {
 public:
  // Makes what computes for it, on its thread and with its loop.
  using MakeBackend = std::function<base::Result<LaneBackend>(EventLoop*)>;

  // Starts the thread and waits until it serves. `trace` may be null. `trace` and `clock` outlive this.
  static base::Result<std::unique_ptr<Lane>> Start(LaneOptions options, MakeBackend make_backend,
                                                   serve::TraceSink* trace, const Clock* clock);
  // The same without a thread, for simulations: the caller's serves, with a loop of its own making, in Serve.
  static base::Result<std::unique_ptr<Lane>> StartHere(LaneOptions options, std::unique_ptr<EventLoop> loop,
                                                       const MakeBackend& make_backend,
                                                       serve::TraceSink* trace, const Clock* clock);
  // Returns when it is told kStop, and nothing is with the backend any more.
  void Serve() { dispatcher_->Run(&stop_); }
  // Stops, if nobody did before.
  ~Lane() override;

  // ---- control's thread ----
  void Post(LaneCommand command) { commands_->Post(command); }
  // Readable when there may be reports.
  int report_fd() const { return reports_->fd(); }
  bool TakeReport(LaneReport* report);
  // Ends the thread when nothing is with the backend any more. Sessions stay as they are.
  void Stop();

  // ---- any thread ----
  const LaneCounters& counters() const { return dispatcher_->counters(); }
  // Once it is broken.
  const std::string& error() const { return error_; }
  // What computes here, for a VM of this pool (device_describer.h).
  void Describe(uint32_t pool, vgpu_device_info* info) const { backend_->describer->Describe(pool, info); }

 private:
  explicit Lane(LaneOptions options) : options_(std::move(options)) {}
  static base::Result<std::unique_ptr<Lane>> Make(LaneOptions options);
  base::Result<void> Open(std::unique_ptr<EventLoop> loop, const MakeBackend& make_backend,
                          serve::TraceSink* trace, const Clock* clock);
  void Close();
  void OnReady() override;
  void Carry(const LaneCommand& command);
  void Report(LaneReport::Kind kind, Session* session, FenceReason reason = FenceReason::kNone) {
    reports_->Post({kind, reason, session});
  }

  void OnFenced(Session* session, FenceReason reason) override {
    Report(LaneReport::Kind::kFenced, session, reason);
  }
  void OnResetDone(Session* session) override {
    Report(LaneReport::Kind::kResetDone, session, session->fence());
  }
  void OnSlow(Session* session) override { Report(LaneReport::Kind::kSlow, session); }
  void OnLeft(Session* session) override { Report(LaneReport::Kind::kLeft, session); }
  void OnEnded(Session* session) override { Report(LaneReport::Kind::kEnded, session); }

  const LaneOptions options_;
  std::unique_ptr<Mailbox<LaneCommand>> commands_;
  std::unique_ptr<Mailbox<LaneReport>> reports_;
  std::atomic<bool> fault_reported_{false};  // and control has not looked yet
  // The thread's, made and destroyed by it.
  std::unique_ptr<EventLoop> loop_;
  std::optional<LaneBackend> backend_;
  std::unique_ptr<Dispatcher> dispatcher_;
  bool stop_ = false;
  std::string error_;
  std::thread thread_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_LANE_H_
