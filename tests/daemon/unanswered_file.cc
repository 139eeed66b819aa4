// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/unanswered_file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "tests/fuse/one_file.h"

namespace vgpu::test {
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
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return false;
  problem_ = "cannot make a folder";
  char path[] = "/tmp/vgpu-fuse-XXXXXX";
  if (mkdtemp(path) == nullptr) return false;
  folder_ = path;
  problem_ = "cannot mount a FUSE file system";
  const std::string options = OneFileMountOptions(server_.get());
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
  for (const fuse_in_header& request : waiting_) AnswerOneFile(server_.get(), request);
  waiting_.clear();
}

void UnansweredFile::Serve() {
  std::vector<char> bytes(1 << 20);
  for (;;) {
    const ssize_t got = read(server_.get(), bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    fuse_in_header request;
    std::memcpy(&request, bytes.data(), sizeof request);
    const std::lock_guard lock(mutex_);
    if (stopped_ && request.opcode != FUSE_FORGET) {
      waiting_.push_back(request);
    } else {
      AnswerOneFile(server_.get(), request);
    }
  }
}

}  // namespace vgpu::test
