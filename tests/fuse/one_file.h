// SPDX-License-Identifier: Apache-2.0
// What the server of a FUSE file system answers that has one file, named anything, of kOneFileBytes. When it
// answers is the caller's.
#ifndef VGPU_TESTS_FUSE_ONE_FILE_H_
#define VGPU_TESTS_FUSE_ONE_FILE_H_

#include <linux/fuse.h>

#include <cstdint>
#include <string>

namespace vgpu::test {

inline constexpr uint64_t kOneFileBytes = 1 << 20;

// Options of mount(2) for the server that reads `device`, an open /dev/fuse.
std::string OneFileMountOptions(int device);

// Answers a request that was read from `device`. Who asked may have gone meanwhile:
// then nobody wants the answer.
void AnswerOneFile(int device, const fuse_in_header& request);

}  // namespace vgpu::test

#endif  // VGPU_TESTS_FUSE_ONE_FILE_H_
