// SPDX-License-Identifier: Apache-2.0
// A guest that keeps VECTOR_ADDs outstanding on several rings.
#ifndef VGPU_BENCH_SUBJECTS_OURS_VECTOR_LOAD_H_
#define VGPU_BENCH_SUBJECTS_OURS_VECTOR_LOAD_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/process.h"
#include "bench/subjects/ours/vector_requests.h"
#include "guest/host_transport.h"

namespace vgpu::bench {

class VectorLoad {
 public:
  // Attaches; `options` says to what and as whom, `plan` how large and how many.
  static Result<std::unique_ptr<VectorLoad>> Open(guest::HostOptions options, const VectorPlan& plan);

  // Sends what may be sent, takes the answers that are there, and checks them. Gives the processor away if
  // there are none.
  void Step();
  // Takes all that is outstanding and compares every sum.
  void Drain();

  uint64_t answered() const { return answered_; }
  uint64_t wrong() const { return wrong_; }

 private:
  struct Request {
    Vectors vectors;
    uint32_t idx;
  };
  struct Ring {
    std::unique_ptr<guest::Client> client;
    std::vector<Vectors> idle;
    std::deque<Request> sent;
  };

  bool Take(Ring& ring);

  std::vector<Ring> rings_;
  uint64_t answered_ = 0;
  uint64_t wrong_ = 0;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_VECTOR_LOAD_H_
