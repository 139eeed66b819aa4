// SPDX-License-Identifier: Apache-2.0
// One request of the old system, a line of text: pool_id:priority:vm_id:num1:num2. What it never had is our
// extension: pool_id:priority:vm_id:vector:count, for operands that lie in files (vector_file.h).
#ifndef VGPU_BENCH_SUBJECTS_NFS_REQUEST_H_
#define VGPU_BENCH_SUBJECTS_NFS_REQUEST_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vgpu::bench::nfs {

struct Request {
  char pool = 'A';
  uint32_t priority = 0;  // 0 low, 1 medium, 2 high
  uint32_t vm_id = 0;
  int32_t num1 = 0;
  int32_t num2 = 0;
  uint64_t vector = 0;  // elements; 0: num1 + num2

  int64_t sum() const { return int64_t{num1} + num2; }
};

inline constexpr uint64_t kVectorMax = 16 << 20;  // elements

// With its newline.
std::string TextOf(const Request& request);

// The old system's rules: pool A or B, priority 0 to 2, the vm_id of its own folder. That the numbers are of
// 32 bits is our choice, and the vector. The error says which rule was broken.
base::Result<Request> ParseRequest(std::string_view line, uint32_t folder_vm_id);

// The folder's number if it is called vm<number>, as the old system's are; else an error.
base::Result<uint32_t> VmIdOf(std::string_view folder);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_REQUEST_H_
