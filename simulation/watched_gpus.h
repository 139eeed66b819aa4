// SPDX-License-Identifier: Apache-2.0
// The mediator's own GPU backend, and what the simulation sees of it on the daemon's side: pieces come back
// once, a place is freed once and not while an engine has the memory, and a GPU that is parked wakes. Cuts
// pieces short, so that small vectors travel in several, too.
#ifndef VGPU_SIMULATION_WATCHED_GPUS_H_
#define VGPU_SIMULATION_WATCHED_GPUS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "api/device_info.h"
#include "mediator/gpu/gpu_engines.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/device_describer.h"
#include "mediator/lane/memory_holder.h"
#include "mediator/lane/session.h"
#include "simulation/piece_book.h"
#include "simulation/sim_engines.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class WatchedGpus final : public mediator::Gpus,
                          public mediator::MemoryHolder,
                          public mediator::DeviceDescriber {
 public:
  // The pointers outlive this.
  WatchedGpus(std::unique_ptr<mediator::GpuEngines> inner, const SimEngines* engines, Surroundings* around,
              PieceBook* book)
      : inner_(std::move(inner)), engines_(engines), around_(around), book_(book) {}

  // Of a turn: whoever had requests for a GPU that is parked has asked for it. Throws Violation.
  void CheckIteration();

  // ---- pieces ----

  uint32_t count() const override { return inner_->count(); }
  mediator::Plan PlanPiece(const mediator::GuestRing& ring, const mediator::Request& request,
                           int64_t now_ns) const override;
  bool HasRoom(const mediator::GuestRing& ring, const mediator::Plan& plan) const override {
    return inner_->HasRoom(ring, plan);
  }
  void Submit(const mediator::Piece& piece, const mediator::Plan& plan) override;
  uint32_t SlotRoom(const mediator::GuestRing& ring) override { return inner_->SlotRoom(ring); }
  void SubmitSlot(mediator::GuestRing* ring, mediator::Request* request, int64_t now_ns) override;
  void Flush() override { inner_->Flush(); }
  bool polls() const override { return inner_->polls(); }
  void Poll(std::vector<mediator::Piece>* finished) override;
  void WorkersHaveRoom() override { inner_->WorkersHaveRoom(); }
  void Rest() override { inner_->Rest(); }

  // ---- memory ----

  void SetListener(mediator::PlacementListener* listener) override { inner_->SetListener(listener); }
  void Attach(mediator::Session* session) override;
  bool Release(mediator::Session* session) override;
  void Wake(mediator::Session* session) override;

  void Describe(uint32_t pool, vgpu_device_info* info) const override { inner_->Describe(pool, info); }

 private:
  struct PlacedVm {
    mediator::Session* session;
    uint64_t taken;             // requests, at the last iteration
    uint32_t unasked = 0;       // of them, since its GPU is parked, and nobody has asked for it
    int64_t asked_ns = kNever;  // since then it has asked for its GPU, which is parked
  };

  static uint64_t TakenBy(const mediator::Session& session);
  std::vector<PlacedVm>::iterator Find(const mediator::Session* session);

  const std::unique_ptr<mediator::GpuEngines> inner_;
  const SimEngines* const engines_;
  Surroundings* const around_;
  PieceBook* const book_;
  std::vector<PlacedVm> placed_;
  uint64_t asked_ = 0;  // a bit a GPU: somebody has asked for it in this turn
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_WATCHED_GPUS_H_
