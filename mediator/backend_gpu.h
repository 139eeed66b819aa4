// SPDX-License-Identifier: Apache-2.0
// The GPU backend: for each GPU an engine process that works and, if wished, a spare one that is warm. The CPU backend
// stands in for a VM whose region no engine has (yet): it gives the same answers, bit for bit.
//
// A GPU that nobody asked for anything for a while is parked: its engines end, since a context alone draws power
// (docs/adr/0012-an-idle-gpu-is-given-back.md). The next request starts them again.
//
// When an engine fails (it says so, it ends, or something in flight is overdue) it is killed at once; its VMs go on with the
// spare one, or with the CPU. What it had in flight waits until it is gone, since until then it may still write: then what
// is harmless to repeat runs on the CPU, all else is answered VGPU_ERR_INTERRUPTED.
#ifndef VGPU_MEDIATOR_BACKEND_GPU_H_
#define VGPU_MEDIATOR_BACKEND_GPU_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/backend_cpu.h"
#include "mediator/clock.h"
#include "mediator/config.h"
#include "mediator/engine_port.h"
#include "mediator/engine_process.h"
#include "mediator/engine_record.h"
#include "mediator/engine_starter.h"
#include "mediator/sched/scheduler.h"
#include "mediator/watched_clock.h"

namespace vgpu::mediator {

// An engine's, seen from the lane. A dead one is the starter's.
enum class EngineLife : uint8_t {
  kAbsent,    // there is none, and nobody has asked for one
  kStarting,  // the starter has the order
  kLoading,   // its process is there, and not ready
  kServing,   // it has a port
  kEnding,    // killed, and not gone: it may still write
};

// A GPU's engines as a whole.
enum class GpuUse : uint8_t {
  kInUse,
  kParked,  // none is wanted
  kWanted,  // parked, and a request has asked for it: they start when the old ones are gone
};

class GpuBackend final : public Backend, private EngineOwner {
 public:
  // Starts the engines and waits until they are ready. Errors say why there is no GPU to use; *cpu, which stands
  // in, is taken without one only. `loop` outlives this.
  static base::Result<std::unique_ptr<GpuBackend>> Create(EventLoop* loop, const GpuConfig& config,
                                                          std::unique_ptr<CpuBackend>* cpu, EngineRecord record);
  // When Create has failed and the CPU may compute: it does, and GPUs are looked for again, ever more rarely. Without a list of
  // GPUs in the configuration it is the first one that is looked for.
  static base::Result<std::unique_ptr<GpuBackend>> CreateWithoutGpu(EventLoop* loop, const GpuConfig& config,
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
    EngineLife life = EngineLife::kAbsent;
    int ordinal = -1;
    std::unique_ptr<EngineProcess> process;  // while it is loading, serving or ending
    std::unique_ptr<EnginePort> port;        // while it is serving, and of one that has, while it is ending
  };
  struct Gpu {
    int ordinal = 0;
    std::vector<char> pools;
    engine::Message hello{};
    Engine current;
    Engine spare;
    bool spare_refused = false;
    std::atomic<bool> seen{true};  // once it is, `hello` stays as it is, and any thread may read it. False: none of its engines has ever been ready, and its VMs know nothing of it
    GpuUse use = GpuUse::kInUse;
    uint32_t unwanted_starts = 0;  // ordered before it was parked, and not come yet
    int64_t not_before_ns = 0;  // parked because no engine lived: when to try again
    uint32_t deaths = 0;     // in a row
    uint32_t stillborn = 0;  // engines in a row that died before they were ready
    int64_t alone_since_ns = 0;  // when its last dying engine was gone, of the watched clock
    int64_t started_ns = 0;  // the current engine's start
    uint32_t sessions = 0;
    std::array<int64_t, kPriorities> last_add_ns{};  // by class, of the dispatcher's clock
  };

  GpuBackend(EventLoop* loop, const GpuConfig& config);
  base::Result<void> OpenStarter(EngineRecord record);
  base::Result<void> Open();
  base::Result<Engine> StartAndWait(int ordinal);
  std::unique_ptr<EngineOrder> OrderFor(int ordinal, int delay_ms) const;
  void Order(Gpu* gpu, Engine* engine);
  uint32_t IndexOf(const Gpu* gpu) const;
  void Replace(Gpu* gpu);
  void TakeStarted();
  void Started(EngineOrder* order);
  void StartRefused(Gpu* gpu, Engine* engine, const EngineOrder& order);

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
  struct EnginesStarted final : ReadyHandler {
    void OnReady() override { backend->TakeStarted(); }
    GpuBackend* backend;
  };
  struct TimeToLook final : ReadyHandler {
    void OnReady() override { backend->LookForGpus(); }
    GpuBackend* backend;
  };
  base::Result<void> WatchForGpus();
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
  std::vector<Engine> dying_;  // kEnding
  std::array<Session*, engine::kRegionsMax> seats_{};  // by region
  std::map<uint32_t, uint32_t> engines_ended_by_;  // VM -> how many hung or crashed while they registered its memory
  std::vector<Piece> again_;   // of dead engines: to be run on the CPU
  std::vector<Piece> ended_;   // of dead engines: have their answer
  uint32_t polls_ = 0;
  // While a GPU is not seen yet.
  base::UniqueFd look_timer_;
  TimeToLook time_to_look_;
  int look_watch_ = -1;
  uint32_t looks_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_GPU_H_
