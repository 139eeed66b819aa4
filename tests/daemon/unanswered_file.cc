// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/unanswered_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"

namespace vgpu::test {
namespace {

constexpr uint64_t kFolder = 1, kFile = 2;

fuse_attr AttributesOf(uint64_t node) {
  fuse_attr attributes{};
  attributes.ino = node;
  attributes.mode = node == kFolder ? S_IFDIR | 0755 : S_IFREG | 0666;
  attributes.nlink = 1;
  attributes.size = 1 << 20;
  return attributes;
}

}  // namespace

UnansweredFile::UnansweredFile() {
  if (!Mount()) {
    problem_ += std::string(": ") + std::strerror(errno);
    return;
  }
  thread_ = std::thread([this] { Serve(); });
  file_ = base::UniqueFd(open((folder_ + "/file").c_str(), O_RDWR | O_CLOEXEC));
  if (!file_) problem_ = "cannot open the file: " + std::string(std::strerror(errno));
}

UnansweredFile::~UnansweredFile() {
  GoOn();
  file_.reset();
  if (thread_.joinable()) {
    umount2(folder_.c_str(), MNT_FORCE | MNT_DETACH);  // ends the server's read
    thread_.join();
  }
  if (!folder_.empty()) rmdir(folder_.c_str());
}

bool UnansweredFile::Mount() {
  problem_ = "no /dev/fuse";
  server_ = base::UniqueFd(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!server_) return false;
  problem_ = "no mount namespace (it takes root)";
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  problem_ = "cannot make a folder";
  char path[] = "/tmp/vgpu-fuse-XXXXXX";
  if (mkdtemp(path) == nullptr) return false;
  folder_ = path;
  problem_ = "cannot mount a FUSE file system";
  const std::string options = "fd=" + std::to_string(server_.get()) + ",rootmode=40000,user_id=0,group_id=0";
  if (mount("vgpu-test", path, "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) return false;
  problem_.clear();
  return true;
}

size_t UnansweredFile::waiting() {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

void UnansweredFile::GoOn() {
  const std::lock_guard lock(mutex_);
  stopped_ = false;
  for (const Request& request : waiting_) Answer(request);
  waiting_.clear();
}

void UnansweredFile::Serve() {
  std::vector<char> bytes(1 << 20);
  for (;;) {
    const ssize_t got = read(server_.get(), bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    fuse_in_header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const Request request{header.unique, header.nodeid, header.opcode};
    const std::lock_guard lock(mutex_);
    if (stopped_ && request.opcode != FUSE_FORGET) {
      waiting_.push_back(request);
    } else {
      Answer(request);
    }
  }
}

void UnansweredFile::Answer(const Request& request) {
  switch (request.opcode) {
    case FUSE_INIT: {
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = 31;
      out.max_write = 4096;
      return Reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP: {
      fuse_entry_out out{};
      out.nodeid = kFile;
      out.attr = AttributesOf(kFile);
      return Reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_GETATTR: {
      fuse_attr_out out{};  // valid for no time: each fstat asks again
      out.attr = AttributesOf(request.node);
      return Reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: {
      const fuse_open_out out{};
      return Reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE: return Reply(request.unique, 0, nullptr, 0);
    case FUSE_FORGET: return;
    default: return Reply(request.unique, ENOSYS, nullptr, 0);
  }
}

void UnansweredFile::Reply(uint64_t unique, int error, const void* data, size_t bytes) {
  fuse_out_header header{static_cast<uint32_t>(sizeof header + bytes), -error, unique};
  const iovec parts[] = {{&header, sizeof header}, {const_cast<void*>(data), bytes}};
  // Who asked may have been killed meanwhile: then nobody wants the answer.
  [[maybe_unused]] const ssize_t written = writev(server_.get(), parts, bytes == 0 ? 1 : 2);
}

}  // namespace vgpu::test
