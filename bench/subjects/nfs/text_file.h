// SPDX-License-Identifier: Apache-2.0
// The files by which both sides talk: request.txt and response.txt of a folder vm<id>.
// Each holds one line or nothing.
//
// What the old system left open, and we chose: both files stay; who has taken a line empties its file, so
// that no line is ever taken twice, nor an earlier request's answer for a later one's. (Removing them instead
// would be slower: a client with attribute caching may believe for 30 s that a file is not there.) A line
// counts once its newline is there.
#ifndef VGPU_BENCH_SUBJECTS_NFS_TEXT_FILE_H_
#define VGPU_BENCH_SUBJECTS_NFS_TEXT_FILE_H_

#include <string>

#include "base/unique_fd.h"

namespace vgpu::bench::nfs {

inline constexpr const char* kRequestFile = "request.txt";
inline constexpr const char* kResponseFile = "response.txt";

// Throws what the system says of `what`.
[[noreturn]] void Fail(const std::string& what);

// All of these throw what the system says.
base::UniqueFd Open(const std::string& path, int flags);
// Replaces what the file holds, and returns when that is on the disk (or at the server).
void WriteLine(const std::string& path, const std::string& line);
// The file's line; "" while there is none, or not all of it.
std::string ReadLine(const std::string& path);
// Makes the file if it is not there.
void Empty(const std::string& path);

// The same for a file that is open, at its beginning; `path` is for the message. The file is empty before a
// line is written.
void WriteLine(int file, const std::string& path, const std::string& line);
std::string ReadLine(int file, const std::string& path);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_TEXT_FILE_H_
