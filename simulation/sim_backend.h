// SPDX-License-Identifier: Apache-2.0
// What computes in a simulation: a CPU, and a GPU whose engine registers, dies, is parked and comes back as
// the mediator's does (mediator/backend_gpu.h), in one thread and without processes. It checks that each
// place is freed once.
#ifndef VGPU_SIMULATION_SIM_BACKEND_H_
#define VGPU_SIMULATION_SIM_BACKEND_H_

#include <cstdint>
#include <vector>

#include "api/device_info.h"
#include "base/unique_fd.h"
#include "mediator/backend.h"
#include "mediator/event_loop.h"
#include "mediator/seats.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class SimBackend final : public mediator::Backend, private mediator::ReadyHandler {
 public:
  // Both outlive this.
  SimBackend(mediator::EventLoop* loop, Surroundings* around);
  ~SimBackend() override;

  // ---- for the rest of the world, outside of the daemon ----

  // What was due is done.
  void GoOn();
  // The engine is to die as soon as the daemon looks.
  void KillEngine();
  // When something happens by itself; kNever: nothing.
  int64_t NextNs() const;
  bool idle() const { return NextNs() == kNever; }

  // ---- for the daemon ----

  mediator::Plan PlanPiece(const mediator::GuestRing& ring, const mediator::Request& request,
                           int64_t now_ns) const override;
  bool HasRoom(const mediator::GuestRing& ring, const mediator::Plan& plan) const override;
  void Submit(const mediator::Piece& piece, const mediator::Plan& plan) override;
  void Reap(std::vector<mediator::Piece>* finished) override;
  int finished_fd() const override { return finished_fd_.get(); }
  void SetListener(mediator::BackendListener* listener) override { listener_ = listener; }
  uint32_t gpus() const override { return 1; }
  uint32_t SlotRoom(const mediator::GuestRing& ring) override;
  void SubmitSlot(mediator::GuestRing* ring, mediator::Request* request, int64_t now_ns) override;
  bool polls() const override;
  void Poll(std::vector<mediator::Piece>* finished) override;
  void Wake(mediator::Session* session) override;
  void Attach(mediator::Session* session) override;
  bool Release(mediator::Session* session) override;
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  enum class EngineLife : uint8_t { kParked, kStarting, kServing, kEnding };

  struct Job {
    mediator::Piece piece;
    int64_t due_ns;
    bool done = false;
  };
  struct Place {
    mediator::Session* session;
    bool registered = false;
    int64_t change_ns = kNever;  // when the engine has registered its memory, or given it back
  };

  static bool Releasing(const mediator::Session& session);
  static bool OnGpu(const mediator::GuestRing& ring, const mediator::Request& request);
  int64_t Soon(uint32_t most_ns) { return around_->now_ns() + around_->random.Below(most_ns); }
  void OnReady() override;  // something has happened to the engine
  bool EngineEventDue() const;
  void Change(size_t place);
  void Fail();
  void Gone();
  void Serve();
  void SetParked(bool parked);
  void Recover(Job* job);
  void RunAgain();
  void PlacesMayBeFree();
  void MoveToCpu(const mediator::Seats::Regions& regions);
  void RunDue(Job* job);

  mediator::EventLoop* const loop_;
  Surroundings* const around_;
  const base::UniqueFd finished_fd_;
  const base::UniqueFd engine_fd_;
  int engine_watch_ = -1;
  mediator::BackendListener* listener_ = nullptr;
  std::vector<Job> cpu_;
  std::vector<Job> gpu_;
  std::vector<mediator::Piece> again_;  // of a dead engine: to be run on the CPU
  std::vector<mediator::Piece> ended_;  // of a dead engine: have their answer
  mediator::Seats seats_;
  std::vector<Place> places_;
  EngineLife life_ = EngineLife::kStarting;
  int64_t life_ends_ns_ = 0;  // when it is ready, or gone
  bool killed_ = false;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_BACKEND_H_
