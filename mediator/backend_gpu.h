// SPDX-License-Identifier: Apache-2.0
// The GPU backend: for each GPU an engine process that works and, if wished, a spare one that is warm. The
// CPU backend stands in for a VM whose region no engine has (yet): it gives the same answers, bit for bit.
//
// Decisions are made elsewhere: when an engine is started, promoted or retired (engine_pool.h), where a VM's
// requests run (seats.h), how a piece travels (plan.h). This class carries them out: it has the processes
// (engine_process.h, engine_starter.h) and their ports (engine_port.h), and hears of them from the loop.
//
// What a failed engine had in flight waits until that engine is gone, since until then it may still write.
// Then what is harmless to repeat runs on the CPU, and all else is answered VGPU_ERR_INTERRUPTED
// (docs/adr/0010-failover-of-engines.md). A GPU that nobody asked for anything for a while is parked: its
// engines end, since a context alone draws power (docs/adr/0012-an-idle-gpu-is-given-back.md).
#ifndef VGPU_MEDIATOR_BACKEND_GPU_H_
#define VGPU_MEDIATOR_BACKEND_GPU_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/backend_cpu.h"
#include "mediator/clock.h"
#include "mediator/config.h"
#include "mediator/engine_pool.h"
#include "mediator/engine_port.h"
#include "mediator/engine_process.h"
#include "mediator/engine_record.h"
#include "mediator/engine_starter.h"
#include "mediator/sched/scheduler.h"
#include "mediator/plan.h"
#include "mediator/seats.h"
#include "mediator/watched_clock.h"

namespace vgpu::mediator {

class GpuBackend final : public Backend, private EngineOwner {
 public:
  // Starts the engines and waits until they are ready. Errors say why there is no GPU to use; *cpu, which
  // stands in, is taken without one only. `loop` outlives this.
  static base::Result<std::unique_ptr<GpuBackend>> Create(EventLoop* loop, const GpuConfig& config,
                                                          std::unique_ptr<CpuBackend>* cpu,
                                                          EngineRecord record);
  // When Create has failed and the CPU may compute: it does, and GPUs are looked for again, ever more rarely.
  // Without a list of GPUs in the configuration it is the first one that is looked for.
  static base::Result<std::unique_ptr<GpuBackend>> CreateWithoutGpu(EventLoop* loop, const GpuConfig& config,
                                                                    std::unique_ptr<CpuBackend>* cpu,
                                                                    EngineRecord record);
  ~GpuBackend() override;

  Plan PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const override;
  bool HasRoom(const GuestRing& ring, const Plan& plan) const override;
  void Submit(const Piece& piece, const Plan& plan) override;
  void Reap(std::vector<Piece>* finished) override;
  int finished_fd() const override { return cpu_->finished_fd(); }

  void SetListener(BackendListener* listener) override { listener_ = listener; }
  uint32_t gpus() const override { return static_cast<uint32_t>(gpus_.size()); }
  uint32_t SlotRoom(const GuestRing& ring) override;
  void SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) override;
  void Flush() override;
  bool polls() const override;
  void Poll(std::vector<Piece>* finished) override;
  void GoingToSleep() override;
  void Wake(Session* session) override;
  void Attach(Session* session) override;
  bool Release(Session* session) override;
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  // An engine of a pool that has a process.
  struct Engine {
    EngineId id = kNoEngine;
    std::unique_ptr<EngineProcess> process;
    std::unique_ptr<EnginePort> port;  // once it is ready
  };
  struct Gpu {
    Gpu(uint32_t its_index, int its_ordinal, const EnginePoolOptions& options, bool found)
        : index(its_index), ordinal(its_ordinal), pool(options, found), described(found) {}

    const uint32_t index;
    const int ordinal;
    EnginePool pool;
    std::vector<Engine> engines;
    EnginePort* port = nullptr;  // of the current engine, while it serves
    Throttle throttle;
    engine::ReadyMessage hello{};
    // Once it is, `hello` stays as it is, and any thread may read it. False: none of its engines has ever
    // been ready, and its VMs know nothing of it.
    std::atomic<bool> described;
  };
  // Where an engine's process is.
  struct Located {
    Gpu* gpu = nullptr;
    Engine* engine = nullptr;
  };
  struct EnginesStarted final : ReadyHandler {
    void OnReady() override { backend->TakeStarted(); }
    GpuBackend* backend;
  };
  struct TimeToLook final : ReadyHandler {
    void OnReady() override { backend->LookForGpus(); }
    GpuBackend* backend;
  };

  GpuBackend(EventLoop* loop, const GpuConfig& config);

  // ---- starts ----
  base::Result<void> OpenStarter(EngineRecord record);
  base::Result<void> Open();
  base::Result<Engine> StartAndWait(int ordinal);
  Gpu* AddGpu(const GpuChoice& choice, bool found);
  std::unique_ptr<EngineOrder> OrderFor(int ordinal, int delay_ms) const;
  void TakeStarted();
  void Started(std::unique_ptr<EngineOrder> order);
  base::Result<void> WatchForGpus();
  void LookForGpus();
  void LookLater();

  // ---- what engines say ----
  void OnEngineReady(EngineProcess* process) override;
  void OnRegistered(EngineProcess* process, uint32_t region, const std::string& error) override;
  void OnUnregistered(EngineProcess* process, uint32_t region) override;
  void OnEngineIdle(EngineProcess* process) override;
  void OnEngineFailed(EngineProcess* process, const std::string& reason) override;
  void OnEngineGone(EngineProcess* process) override;
  Located Locate(const EngineProcess* process) const;
  static Engine* Find(Gpu* gpu, EngineId id);
  static EngineProcess* ReadyProcess(Gpu* gpu, EngineId id);

  // ---- what the pools decide ----
  void CarryOut(Gpu* gpu, const EngineActions& actions, const std::string& reason = {});
  void CarryOut(Gpu* gpu, const EngineAction& action, const std::string& reason);
  void Order(Gpu* gpu, const EngineAction& action);
  void Serve(Gpu* gpu, EngineId id);
  void NoteHello(Gpu* gpu, EngineId id);
  void Lose(Gpu* gpu, const std::string& reason);
  void Promote(Gpu* gpu, EngineId id);
  void Park(Gpu* gpu);
  static void FindPort(Gpu* gpu);

  // ---- whose memory they have ----
  void Register(uint32_t region, EngineProcess* process);
  void RegisterAll(Gpu* gpu, EngineProcess* process);
  static bool AnyHolds(const Gpu& gpu, uint32_t region);
  void Blame(const EngineProcess& process);
  void MoveToCpu(const Seats::Regions& regions);
  void SeatsMayBeFree();

  // ---- work ----
  void Recover(std::vector<Piece> pieces);
  void RunAgain();
  void PollRetired(std::vector<Piece>* finished);
  void LookForOverdue();
  Gpu& GpuOf(const GuestRing& ring) const;

  EventLoop* const loop_;
  const GpuConfig config_;
  std::unique_ptr<CpuBackend> cpu_;
  std::unique_ptr<EngineStarter> starter_;
  EnginesStarted engines_started_;
  int starter_watch_ = -1;
  const Clock clock_;
  WatchedClock watched_{&clock_};  // for time-outs
  BackendListener* listener_ = nullptr;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  Seats seats_;
  std::vector<Piece> again_;  // of failed engines: to be run on the CPU
  std::vector<Piece> ended_;  // of failed engines: have their answer
  uint32_t polls_ = 0;
  // While a GPU is not found yet.
  base::UniqueFd look_timer_;
  TimeToLook time_to_look_;
  int look_watch_ = -1;
  uint32_t looks_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_GPU_H_
