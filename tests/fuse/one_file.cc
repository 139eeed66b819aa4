// SPDX-License-Identifier: Apache-2.0
#include "tests/fuse/one_file.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace vgpu::test {
namespace {

constexpr uint64_t kFolder = FUSE_ROOT_ID, kFile = 2;

fuse_attr AttributesOf(uint64_t node) {
  fuse_attr attributes{};
  attributes.ino = node;
  attributes.mode = node == kFolder ? S_IFDIR | 0755 : S_IFREG | 0666;
  attributes.nlink = 1;
  attributes.size = kOneFileBytes;
  return attributes;
}

void Reply(int device, uint64_t unique, int error, const void* data = nullptr, size_t bytes = 0) {
  fuse_out_header header{static_cast<uint32_t>(sizeof header + bytes), -error, unique};
  const iovec parts[] = {{&header, sizeof header}, {const_cast<void*>(data), bytes}};
  [[maybe_unused]] const ssize_t written = writev(device, parts, bytes == 0 ? 1 : 2);
}

template <class T>
void ReplyWith(int device, const fuse_in_header& request, const T& answer) {
  Reply(device, request.unique, 0, &answer, sizeof answer);
}

}  // namespace

std::string OneFileMountOptions(int device) {
  return "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
}

void AnswerOneFile(int device, const fuse_in_header& request) {
  switch (request.opcode) {
    case FUSE_INIT: {
      fuse_init_out answer{};
      answer.major = FUSE_KERNEL_VERSION;
      answer.minor = 31;
      answer.max_write = 4096;
      return ReplyWith(device, request, answer);
    }
    case FUSE_LOOKUP: {
      fuse_entry_out answer{};
      answer.nodeid = kFile;
      answer.attr = AttributesOf(kFile);
      return ReplyWith(device, request, answer);
    }
    case FUSE_GETATTR: {
      fuse_attr_out answer{};  // valid for no time: each fstat asks again
      answer.attr = AttributesOf(request.nodeid);
      return ReplyWith(device, request, answer);
    }
    case FUSE_OPEN: return ReplyWith(device, request, fuse_open_out{});
    case FUSE_FLUSH:
    case FUSE_RELEASE: return Reply(device, request.unique, 0);
    case FUSE_FORGET: return;
    default: return Reply(device, request.unique, ENOSYS);
  }
}

}  // namespace vgpu::test
