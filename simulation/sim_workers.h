// SPDX-License-Identifier: Apache-2.0
// The CPU's workers, in one thread: what they are given takes a while.
#ifndef VGPU_SIMULATION_SIM_WORKERS_H_
#define VGPU_SIMULATION_SIM_WORKERS_H_

#include <cstdint>
#include <vector>

#include "api/device_info.h"
#include "base/unique_fd.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/device_describer.h"
#include "simulation/piece_book.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class SimWorkers final : public mediator::Workers, public mediator::DeviceDescriber {
 public:
  // Both outlive this.
  SimWorkers(Surroundings* around, PieceBook* book);

  // ---- for the rest of the world, outside of the daemon ----

  // What was due is done.
  void GoOn();
  // When something is due; kNever: nothing.
  int64_t NextNs() const;

  // ---- for the daemon ----

  uint64_t PieceLength(const mediator::Request& request) const override;
  bool HasRoom() const override { return jobs_.size() < kJobsMax; }
  void Submit(const mediator::Piece& piece) override;
  void Reap(std::vector<mediator::Piece>* finished) override;
  int finished_fd() const override { return finished_fd_.get(); }
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  static constexpr size_t kJobsMax = 2;

  struct Job {
    mediator::Piece piece;
    int64_t due_ns;
    bool done = false;
  };

  Surroundings* const around_;
  PieceBook* const book_;
  const base::UniqueFd finished_fd_;
  std::vector<Job> jobs_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_WORKERS_H_
