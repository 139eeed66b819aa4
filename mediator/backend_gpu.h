// SPDX-License-Identifier: Apache-2.0
// The GPU backend: for each GPU an engine process that works and, if wished, a spare one that is warm. The CPU backend
// stands in for a VM whose region no engine has (yet): it gives the same answers, bit for bit.
//
// A GPU that nobody asked for anything for a while is parked: its engines end, since a context alone draws power
// (docs/adr/0006-engine-processes.md). The next request starts them again.
//
// When an engine fails (it says so, it ends, or something in flight is overdue) it is killed at once; its VMs go on with the
// spare one, or with the CPU. What it had in flight waits until it is reaped, since until then it may still write: then what
// is harmless to repeat runs on the CPU, all else is answered VGPU_ERR_INTERRUPTED.
#ifndef VGPU_MEDIATOR_BACKEND_GPU_H_
#define VGPU_MEDIATOR_BACKEND_GPU_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mediator/backend_cpu.h"
#include "mediator/clock.h"
#include "mediator/config.h"
#include "mediator/engine_port.h"
#include "mediator/engine_process.h"
#include "mediator/engine_record.h"
#include "mediator/scheduler.h"
#include "mediator/watched_clock.h"

namespace vgpu::mediator {

class GpuBackend final : public Backend, private EngineOwner {
 public:
  // Starts the engines and waits until they are ready. Errors say why there is no GPU to use; *cpu, which stands
  // in, is taken without one only. `loop` outlives this.
  static ring::Result<std::unique_ptr<GpuBackend>> Create(EventLoop* loop, const GpuConfig& config,
                                                          std::unique_ptr<CpuBackend>* cpu, EngineRecord record);
  // When Create has failed and the CPU may compute: it does, and GPUs are looked for again, ever more rarely. Without a list of
  // GPUs in the configuration it is the first one that is looked for.
  static ring::Result<std::unique_ptr<GpuBackend>> CreateWithoutGpu(EventLoop* loop, const GpuConfig& config,
                                                                    std::unique_ptr<CpuBackend>* cpu, EngineRecord record);
  ~GpuBackend() override;

  bool HasRoom(const GuestRing& ring, const Request& request, int64_t now_ns) const override;
  uint64_t PieceElements(const GuestRing& ring, const Request& request, int64_t now_ns) const override;
  void Submit(const Piece& piece, int64_t now_ns) override;
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
  struct Engine {
    int ordinal = -1;
    std::unique_ptr<EngineProcess> process;
    std::unique_ptr<EnginePort> port;  // once it is ready
  };
  struct Gpu {
    int ordinal = 0;
    std::vector<char> pools;
    engine::Message hello{};
    Engine current;
    Engine spare;
    bool spare_refused = false;
    std::atomic<bool> seen{true};  // once it is, `hello` stays as it is, and any thread may read it. False: none of its engines has ever been ready, and its VMs know nothing of it
    bool parked = false;
    bool wanted = false;        // parked, and a request has asked for it
    int64_t not_before_ns = 0;  // parked because no engine lived: when to try again
    uint32_t deaths = 0;     // in a row
    uint32_t stillborn = 0;  // engines in a row that died before they were ready
    int64_t alone_since_ns = 0;  // when its last dying engine was gone, of the watched clock
    int64_t started_ns = 0;  // the current engine's start
    uint32_t sessions = 0;
    std::array<int64_t, kPriorities> last_add_ns{};  // by class, of the dispatcher's clock
  };

  GpuBackend(EventLoop* loop, const GpuConfig& config, EngineRecord record);
  ring::Result<void> Open();
  ring::Result<Engine> StartAndWait(int ordinal);
  ring::Result<Engine> Start(int ordinal, int delay_ms);
  void Replace(Gpu* gpu);

  void OnEngineReady(EngineProcess* engine) override;
  void OnRegistered(EngineProcess* engine, uint32_t region, const std::string& error) override;
  void OnUnregistered(EngineProcess* engine, uint32_t region) override;
  void OnEngineIdle(EngineProcess* engine) override;
  void OnEngineFailed(EngineProcess* engine, const std::string& reason) override;
  void OnEngineGone(EngineProcess* engine) override;

  static std::array<EngineProcess*, 2> ReadyEngines(const Gpu& gpu);
  void Blame(const EngineProcess& engine);
  void Park(Gpu* gpu);
  void ParkFailing(Gpu* gpu);
  struct TimeToLook final : ReadyHandler {
    void OnReady() override { backend->LookForGpus(); }
    GpuBackend* backend;
  };
  ring::Result<void> WatchForGpus();
  void LookForGpus();
  void LookLater();
  bool UnparkIfWanted(Gpu* gpu);
  bool HasDying(const Gpu& gpu) const;
  void SetParked(const Gpu& gpu, bool parked);
  void Bury(Engine* engine);
  void Adopt(Gpu* gpu);
  void Register(Session* session, EngineProcess* engine);
  void RegisterAll(const Gpu& gpu, EngineProcess* engine);
  void Recover(std::vector<Piece> pieces);
  void RunAgain();
  void LookForOverdue();
  void SeatsMayBeFree();
  Gpu* GpuOf(const EngineProcess* engine);
  static bool OnGpu(const GuestRing& ring, const Request& request);
  EnginePort* PortOf(const GuestRing& ring) const;
  bool Copies(const Request& request) const;
  bool Gentle(const GuestRing& ring, int64_t now_ns) const;
  void WriteRecord();

  EventLoop* const loop_;
  const GpuConfig config_;
  std::unique_ptr<CpuBackend> cpu_;
  const EngineRecord record_;
  cpu_set_t cpus_{};  // the mediator's own at its start: whoever pins its thread later does not mean the engines
  const Clock clock_;
  WatchedClock watched_{&clock_};  // for time-outs
  BackendListener* listener_ = nullptr;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  std::vector<Engine> dying_;  // killed, not reaped
  std::vector<Engine> dead_;   // reaped just now: not freed within its own callback
  std::array<Session*, engine::kRegionsMax> seats_{};  // by region
  std::map<uint32_t, uint32_t> engines_ended_by_;  // VM -> how many hung or crashed while they registered its memory
  std::vector<Piece> again_;   // of dead engines: to be run on the CPU
  std::vector<Piece> ended_;   // of dead engines: have their answer
  uint32_t polls_ = 0;
  // While a GPU is not seen yet.
  ring::UniqueFd look_timer_;
  TimeToLook time_to_look_;
  int look_watch_ = -1;
  uint32_t looks_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_GPU_H_
