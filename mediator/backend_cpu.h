// SPDX-License-Identifier: Apache-2.0
// The CPU backend: a few worker threads, each piece run by one of them.
#ifndef VGPU_MEDIATOR_BACKEND_CPU_H_
#define VGPU_MEDIATOR_BACKEND_CPU_H_

#include <semaphore.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/backend.h"
#include "mediator/plan.h"

namespace vgpu::mediator {

class CpuBackend final : public Backend {
 public:
  static base::Result<std::unique_ptr<CpuBackend>> Create(uint32_t workers);
  // Waits for the pieces that run; those that wait are dropped.
  ~CpuBackend() override;

  bool HasRoom() const { return in_flight_ < in_flight_max_; }
  bool HasRoom(const GuestRing&, const Plan&) const override { return HasRoom(); }
  Plan PlanPiece(const GuestRing&, const Request& request, int64_t) const override { return PlanOnCpu(request); }
  void Submit(const Piece& piece);
  void Submit(const Piece& piece, const Plan&) override { Submit(piece); }
  void Reap(std::vector<Piece>* finished) override;
  int finished_fd() const override { return finished_fd_.get(); }
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  // A piece that was submitted and not reaped. There is no lock: a worker that holds one may lose its processor, and then
  // the loop waits for the scheduler.
  struct Slot {
    Piece piece;
    std::atomic<bool> finished{false};
  };

  CpuBackend(uint32_t workers, base::UniqueFd finished_fd);
  base::Result<void> StartWorkers(uint32_t workers);
  void Work();

  const base::UniqueFd finished_fd_;
  const uint32_t in_flight_max_;
  const std::string name_;  // of the CPU
  uint32_t in_flight_ = 0;  // loop's thread only

  const std::unique_ptr<Slot[]> slots_;        // in_flight_max_ of them
  std::vector<uint32_t> free_;                 // loop's thread only
  std::vector<uint32_t> used_;                 // likewise
  const uint32_t mask_;                        // of the ring of those that wait
  const std::unique_ptr<uint32_t[]> waiting_;  // slots, oldest first
  uint32_t submitted_ = 0;                     // loop's thread only
  std::atomic<uint32_t> begun_{0};             // by workers
  sem_t work_;                                 // submitted, not begun; more than that: the end
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_CPU_H_
