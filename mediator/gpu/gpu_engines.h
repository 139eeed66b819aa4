// SPDX-License-Identifier: Apache-2.0
// GPUs through engines: for each GPU an engine process that works and, if wished, a spare one that is warm.
// The engines compute, and they hold the memory of the VMs that are placed on their GPU. The CPU stands in
// for a VM whose region no engine has (yet): it gives the same answers, bit for bit.
//
// Decisions are made elsewhere: when an engine is started, promoted or retired (engine_pool.h), where a VM's
// requests run (placements.h), how a piece travels (plan.h). This class carries them out: it has the
// processes (engine_handle.h, engine_source.h) and their ports (engine_port.h),
// and hears of them from the loop.
//
// What a failed engine had in flight waits until that engine is gone, since until then it may still write.
// Then what is harmless to repeat is given to the CPU's workers, and all else is answered
// VGPU_ERR_INTERRUPTED (docs/adr/0010-failover-of-engines.md). A GPU that nobody asked for anything for a
// while is parked: its engines end, since a context alone draws power
// (docs/adr/0012-an-idle-gpu-is-given-back.md).
#ifndef VGPU_MEDIATOR_GPU_GPU_ENGINES_H_
#define VGPU_MEDIATOR_GPU_GPU_ENGINES_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/gpu/engine_handle.h"
#include "mediator/gpu/engine_pool.h"
#include "mediator/gpu/engine_port.h"
#include "mediator/gpu/engine_source.h"
#include "mediator/gpu/placements.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/device_describer.h"
#include "mediator/lane/memory_holder.h"
#include "mediator/lane/plan.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/event_loop.h"
#include "mediator/loop/watched_clock.h"
#include "mediator/process/config.h"

namespace vgpu::mediator {

class GpuEngines final : public Gpus, public MemoryHolder, public DeviceDescriber, private EngineOwner {
 public:
  // The CPU, beside the GPUs. Both outlive the engines, and may be one object.
  struct Cpu {
    Workers* workers;                  // repeat what failed engines had
    const DeviceDescriber* describer;  // describes the device of VMs that have no GPU
  };

  // Starts the engines and waits until they are ready. Errors say why there is no GPU to use. `loop` and
  // `clock` outlive this.
  static base::Result<std::unique_ptr<GpuEngines>> Create(EventLoop* loop, const Clock* clock,
                                                          const GpuConfig& config, Cpu cpu,
                                                          std::unique_ptr<EngineSource> source);
  // When Create has failed and the CPU may compute: it does, and GPUs are looked for again, ever more rarely.
  // Without a list of GPUs in the configuration it is the first one that is looked for.
  static base::Result<std::unique_ptr<GpuEngines>> CreateWithoutGpu(EventLoop* loop, const Clock* clock,
                                                                    const GpuConfig& config, Cpu cpu,
                                                                    std::unique_ptr<EngineSource> source);
  ~GpuEngines() override;

  // ---- Gpus ----
  uint32_t count() const override { return static_cast<uint32_t>(gpus_.size()); }
  Plan PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const override;
  bool HasRoom(const GuestRing& ring, const Plan& plan) const override;
  void Submit(const Piece& piece, const Plan& plan) override;
  uint32_t SlotRoom(const GuestRing& ring) override;
  void SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) override;
  void Flush() override;
  bool polls() const override;
  void Poll(std::vector<Piece>* finished) override;
  void WorkersHaveRoom() override;
  void Rest() override;

  // ---- MemoryHolder ----
  void SetListener(PlacementListener* listener) override { listener_ = listener; }
  void Attach(Session* session) override;
  bool Release(Session* session) override;
  void Wake(Session* session) override;

  // ---- DeviceDescriber ----
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  // An engine of a pool that has been started.
  struct Engine {
    EngineId id = kNoEngine;
    std::unique_ptr<EngineHandle> process;
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
    void OnReady() override { engines->TakeStarted(); }
    GpuEngines* engines;
  };
  struct TimeToProbe final : ReadyHandler {
    void OnReady() override { engines->ProbeGpus(); }
    GpuEngines* engines;
  };

  GpuEngines(EventLoop* loop, const Clock* clock, const GpuConfig& config, Cpu cpu);

  // ---- starts ----
  base::Result<void> OpenSource(std::unique_ptr<EngineSource> source);
  base::Result<void> Open();
  base::Result<Engine> StartAndWait(int ordinal);
  Gpu* AddGpu(const GpuChoice& choice, bool found);
  std::unique_ptr<EngineOrder> OrderFor(int ordinal, int delay_ms) const;
  void TakeStarted();
  void Started(std::unique_ptr<EngineOrder> order);
  base::Result<void> WatchForGpus();
  void ProbeGpus();
  void ProbeLater();

  // ---- what engines say ----
  void OnEngineReady(EngineHandle* process) override;
  void OnRegistered(EngineHandle* process, uint32_t region, const std::string& error) override;
  void OnUnregistered(EngineHandle* process, uint32_t region) override;
  void OnEngineIdle(EngineHandle* process) override;
  void OnEngineFailed(EngineHandle* process, const std::string& reason) override;
  void OnEngineGone(EngineHandle* process) override;
  Located Locate(const EngineHandle* process) const;
  static Engine* Find(Gpu* gpu, EngineId id);
  static EngineHandle* ReadyProcess(Gpu* gpu, EngineId id);

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
  void Register(uint32_t region, EngineHandle* process);
  void RegisterAll(Gpu* gpu, EngineHandle* process);
  static bool AnyHolds(const Gpu& gpu, uint32_t region);
  void Blame(const EngineHandle& process);
  void MoveToCpu(const Placements::Regions& regions);
  void MemoryMayBeFree();

  // ---- work ----
  void Recover(const std::vector<Piece>& pieces);
  void PollRetired(std::vector<Piece>* finished);
  void CheckOverdue();
  Gpu& GpuOf(const GuestRing& ring) const;

  EventLoop* const loop_;
  const GpuConfig config_;
  const Cpu cpu_;
  std::unique_ptr<EngineSource> source_;
  EnginesStarted engines_started_;
  int source_watch_ = -1;
  const Clock* const clock_;
  WatchedClock watched_{clock_};  // for time-outs
  PlacementListener* listener_ = nullptr;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  Placements placements_;
  // Of failed engines. `again_` waits for the workers, and is empty whenever they have room: they signal when
  // they do. `ended_` has its answers; while it is not empty, polls().
  std::vector<Piece> again_;
  std::vector<Piece> ended_;
  uint32_t polls_ = 0;
  // While a GPU is not found yet.
  base::UniqueFd probe_timer_;
  TimeToProbe time_to_probe_;
  int probe_watch_ = -1;
  uint32_t probes_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_GPU_ENGINES_H_
