// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/socket_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

constexpr int kLockTries = 16;
constexpr int kConnectTries = 3;
constexpr int kConnectPatienceMs = 500;
constexpr int kDeadPatienceMs = 20'000;
constexpr int kDeadCheckMs = 5;
constexpr size_t kLockBytesMax = 32;  // a pid and a newline

tl::unexpected<std::string> SystemError(const std::string& what, const char* remedy = "") {
  return tl::make_unexpected(fmt::format("{}: {}{}", what, std::strerror(errno), remedy));
}

base::Result<void> MakeFolder(const std::string& folder) {
  struct stat info;
  if (folder.empty() || stat(folder.c_str(), &info) == 0 || mkdir(folder.c_str(), 0700) == 0 ||
      errno == EEXIST)
    return {};
  const size_t slash = folder.find_last_of('/');
  if (errno == ENOENT && slash != std::string::npos && slash != 0) {
    if (const auto made = MakeFolder(folder.substr(0, slash)); !made) return made;
    if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  }
  return SystemError("cannot make the socket's folder " + folder, " (choose another --socket)");
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

bool Same(int fd, const std::string& path) {
  struct stat open_one, named;
  return fstat(fd, &open_one) == 0 && lstat(path.c_str(), &named) == 0 && open_one.st_dev == named.st_dev &&
         open_one.st_ino == named.st_ino;
}

std::string TextOf(int fd) {
  char text[kLockBytesMax + 1];
  const ssize_t bytes = pread(fd, text, sizeof text, 0);
  return {text, static_cast<size_t>(std::max<ssize_t>(bytes, 0))};
}

// Nothing, or a pid: anything else is somebody's file, and not ours to write to.
bool IsLockFile(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  const std::string text = TextOf(fd);
  return text.size() <= kLockBytesMax && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isdigit(c) != 0 || c == '\n';
         });
}

// 0: not known.
pid_t HolderPid(int fd) { return static_cast<pid_t>(std::strtol(TextOf(fd).c_str(), nullptr, 10)); }

std::string Holder(int fd) {
  const pid_t pid = HolderPid(fd);
  return pid == 0 ? "" : fmt::format(" (pid {})", pid);
}

// A failure only costs the pid in somebody's refusal.
void WritePid(int fd) {
  const std::string text = fmt::format("{}\n", getpid());
  if (ftruncate(fd, 0) == 0) [[maybe_unused]]
    const ssize_t put = pwrite(fd, text.data(), text.size(), 0);
}

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

// 0: not known.
pid_t ListenerPid(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

bool IsGone(pid_t pid) { return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH; }

// False: somebody holds it (EWOULDBLOCK), or it cannot be locked. A mediator that was killed may hold it for
// a moment longer: the kernel closes its files in the background.
bool Lock(int fd) {
  for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += kDeadCheckMs) {
    const int error = errno;
    if (error != EWOULDBLOCK || waited_ms >= kDeadPatienceMs || !IsGone(HolderPid(fd))) {
      errno = error;
      return false;
    }
    poll(nullptr, 0, kDeadCheckMs);
  }
  return true;
}

// Does nobody listen on the socket that is there? The kernel may keep the listener of a mediator that was
// killed for a moment longer, seconds on a machine that is busy (its io_uring is taken apart in the
// background): then it hangs up on us.
base::Result<void> CheckAbandoned(const std::string& path) {
  const sockaddr_un address = Address(path);
  pid_t pid = 0;
  for (int i = 0; i < kConnectTries; ++i) {
    const base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return SystemError("cannot make a socket");
    const int connected = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (connected != 0 && (errno == ECONNREFUSED || errno == ENOENT)) return {};
    // Its queue is full; it is of another type: it lives.
    if (connected != 0 && errno != EAGAIN && errno != EPROTOTYPE) {
      return SystemError(fmt::format("cannot tell whether somebody serves the socket {}", path),
                         " (remove it, or choose another --socket)");
    }
    if (connected == 0) pid = ListenerPid(fd.get());
    pollfd hangup{fd.get(), 0, 0};
    if (connected != 0 || poll(&hangup, 1, IsGone(pid) ? kDeadPatienceMs : kConnectPatienceMs) == 0) break;
  }
  return tl::make_unexpected(
      fmt::format("another program{} listens on {}: stop it, or choose another socket with --socket",
                  pid > 0 ? fmt::format(" (pid {})", pid) : "", path));
}

base::Result<void> MakeRoom(const std::string& path) {
  if (path.size() >= sizeof sockaddr_un{}.sun_path) {
    return tl::make_unexpected(fmt::format("the socket's path is longer than {} bytes: {}",
                                           sizeof sockaddr_un{}.sun_path - 1, path));
  }
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return tl::make_unexpected(fmt::format("{} is there and is no socket: choose another --socket", path));
  }
  if (const auto abandoned = CheckAbandoned(path); !abandoned) return abandoned;
  unlink(path.c_str());
  return {};
}

}  // namespace

OwnFile::OwnFile(std::string path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return;
  device_ = info.st_dev;
  inode_ = info.st_ino;
  path_ = std::move(path);
}

OwnFile::OwnFile(OwnFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}

OwnFile::~OwnFile() {
  struct stat info;
  if (path_.empty() || lstat(path_.c_str(), &info) != 0) return;
  if (info.st_dev == device_ && info.st_ino == inode_) unlink(path_.c_str());
}

base::Result<SocketLock> LockSocket(const std::string& path) {
  if (const auto made = MakeFolder(FolderOf(path)); !made) return tl::make_unexpected(made.error());
  const std::string lock_path = path + ".lock";
  for (int i = 0; i < kLockTries; ++i) {
    base::UniqueFd fd(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return SystemError("cannot open " + lock_path, " (choose another --socket)");
    if (!IsLockFile(fd.get())) {
      return tl::make_unexpected(fmt::format(
          "{} is there and is no lock of a mediator: remove it, or choose another --socket", lock_path));
    }
    if (!Lock(fd.get())) {
      if (errno != EWOULDBLOCK) {
        return SystemError("cannot lock " + lock_path,
                           " (choose a --socket on a file system that has locks)");
      }
      return tl::make_unexpected(
          fmt::format("another mediator serves {}{}: stop it, or choose another socket with --socket", path,
                      Holder(fd.get())));
    }
    // One that ended between open and flock took its file away: what we hold then keeps nobody out.
    if (!Same(fd.get(), lock_path)) continue;
    WritePid(fd.get());
    SocketLock lock{std::move(fd), OwnFile(lock_path)};
    if (const auto room = MakeRoom(path); !room) return tl::make_unexpected(room.error());
    return lock;
  }
  return tl::make_unexpected(fmt::format("{} is removed again and again: what does that?", lock_path));
}

base::Result<Listener> ListenOn(const std::string& path) {
  const sockaddr_un address = Address(path);
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return SystemError("cannot make a socket");
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(before);
  errno = error;
  if (bound != 0) return SystemError("cannot make the socket " + path, " (choose another --socket)");
  OwnFile file(path);
  if (listen(fd.get(), 128) != 0) return SystemError("cannot listen");
  return Listener{std::move(fd), std::move(file)};
}

}  // namespace vgpu::mediator
