// SPDX-License-Identifier: Apache-2.0
// The old system's host: looks through vm*/request.txt, serves by priority and then arrival, and writes the
// answers to vm<id>/response.txt.
#ifndef VGPU_BENCH_SUBJECTS_NFS_SERVER_SIDE_H_
#define VGPU_BENCH_SUBJECTS_NFS_SERVER_SIDE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "bench/subjects/nfs/queue.h"
#include "bench/subjects/nfs/request.h"

namespace vgpu::bench::nfs {

class ServerSide {
 public:
  explicit ServerSide(std::string folder) : folder_(std::move(folder)) {}

  // Takes every complete request into the queue: of several found in one look, that whose file was written
  // first has arrived first. A line against the rules is answered with "ERROR: " and why,
  // at once (our choice).
  void Poll();
  // Answers the next one; false: there is none. A vector whose files are not as they should be:
  // "ERROR: " and why.
  bool ServeOne();

 private:
  std::string PathOf(uint32_t vm_id, const char* file) const;
  // The line for response.txt.
  std::string Compute(const Request& request);
  // From files to a file.
  void AddVectors(const Request& request);

  const std::string folder_;
  Queue queue_;
  std::vector<uint32_t> a_, b_;  // kept, so that no request pays for fresh memory
};

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_SERVER_SIDE_H_
