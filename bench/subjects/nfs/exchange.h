// SPDX-License-Identifier: Apache-2.0
// How the guest uses its two files, which are in the working directory.
// Everything throws what the system says.
#ifndef VGPU_BENCH_SUBJECTS_NFS_EXCHANGE_H_
#define VGPU_BENCH_SUBJECTS_NFS_EXCHANGE_H_

#include <cstddef>
#include <memory>
#include <string>

namespace vgpu::bench::nfs {

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void Send(const std::string& line) = 0;
  // The answer; "" while there is none, or not all of it.
  virtual std::string Poll() = 0;
  // Empties response.txt, for the next request.
  virtual void Forget() = 0;
  // Of a vector: the first so many bytes of the file `name` (vector_file.h).
  virtual void Write(const char* name, const void* from, size_t bytes) = 0;
  virtual void Read(const char* name, void* to, size_t bytes) = 0;
};

// As the old program did: each step opens its file by name.
std::unique_ptr<Exchange> MakeExchangeByPath();
// Files stay open, and O_DIRECT asks the server at each look: one call for what takes the old program three.
std::unique_ptr<Exchange> MakeDirectExchange();

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_EXCHANGE_H_
