// SPDX-License-Identifier: Apache-2.0
// The CPU's workers: a few threads, each piece run by one of them.
#ifndef VGPU_MEDIATOR_LANE_CPU_WORKERS_H_
#define VGPU_MEDIATOR_LANE_CPU_WORKERS_H_

#include <semaphore.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/device_describer.h"

namespace vgpu::mediator {

class CpuWorkers final : public Workers, public DeviceDescriber {
 public:
  // `threads` is not 0.
  static base::Result<std::unique_ptr<CpuWorkers>> Create(uint32_t threads);
  // Waits for the pieces that run; those that wait are dropped.
  ~CpuWorkers() override;

  uint64_t PieceLength(const Request& request) const override;
  bool HasRoom() const override { return !free_.empty(); }
  void Submit(const Piece& piece) override;
  void Reap(std::vector<Piece>* finished) override;
  int finished_fd() const override { return finished_fd_.get(); }
  void Describe(uint32_t pool, vgpu_device_info* info) const override;

 private:
  // A piece that was submitted and not reaped. There is no lock: a worker that holds one may lose its
  // processor, and then the lane waits for the system's scheduler.
  struct Place {
    Piece piece;
    std::atomic<bool> finished{false};
  };

  CpuWorkers(uint32_t threads, base::UniqueFd finished_fd);
  base::Result<void> Start(uint32_t threads);
  void Work();

  const base::UniqueFd finished_fd_;
  const uint32_t in_flight_max_;
  const std::string name_;  // of the CPU

  const std::unique_ptr<Place[]> places_;      // in_flight_max_ of them
  std::vector<uint32_t> free_;                 // the lane's thread only
  std::vector<uint32_t> used_;                 // likewise
  const uint32_t mask_;                        // of the ring of those that wait
  const std::unique_ptr<uint32_t[]> waiting_;  // places, oldest first
  uint32_t submitted_ = 0;                     // the lane's thread only
  std::atomic<uint32_t> begun_{0};             // by workers
  sem_t work_;                                 // submitted, not begun; more than that: the end
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_CPU_WORKERS_H_
