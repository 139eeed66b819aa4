// SPDX-License-Identifier: Apache-2.0
// Our extension of the old system, whose line carries two numbers only: the operands of a vector are files
// beside request.txt, as are its sums; elements of 32 bits, as they lie in memory. The guest writes both
// operands, then the line pool_id:priority:vm_id:vector:count; the host adds the first `count` elements of
// both, writes the sums, then `count` to response.txt. No file is ever cut short: a longer one may have a
// rest of an earlier request.
#ifndef VGPU_BENCH_SUBJECTS_NFS_VECTOR_FILE_H_
#define VGPU_BENCH_SUBJECTS_NFS_VECTOR_FILE_H_

#include <cstddef>
#include <string>

namespace vgpu::bench::nfs {

inline constexpr const char* kFileOfA = "a.bin";
inline constexpr const char* kFileOfB = "b.bin";
inline constexpr const char* kFileOfSums = "sums.bin";

// All of these throw what the system says; ReadWhole also if the file has fewer bytes.
// `path` is for the message.
void WriteWhole(int file, const std::string& path, const void* from, size_t bytes);
void ReadWhole(int file, const std::string& path, void* to, size_t bytes);
// Returns when what was written is on the disk (or at the server).
void Sync(int file, const std::string& path);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_VECTOR_FILE_H_
