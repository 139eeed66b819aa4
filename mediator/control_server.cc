// SPDX-License-Identifier: Apache-2.0
#include "mediator/control_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "mediator/connection.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kOperatorsMax = 64;  // connections beyond one for each VM
constexpr int kAcceptsPerTurn = 16;

tl::unexpected<std::string> SystemError(const std::string& what) {
  return tl::make_unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

ring::Result<void> MakeFolder(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::exists(folder)) return {};
  const std::filesystem::path parent = folder.parent_path();
  if (!parent.empty() && !std::filesystem::exists(parent)) {
    if (const auto made = MakeFolder(parent); !made) return made;
  }
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError(fmt::format("cannot make the socket's folder {} (choose another --socket)", folder.string()));
  }
  return {};
}

ring::Result<ring::UniqueFd> Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return tl::make_unexpected(fmt::format("the socket's path is longer than {} bytes: {}",
                                           sizeof address.sun_path - 1, path));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return tl::make_unexpected(fmt::format("{} is there and is no socket: choose another --socket", path));
    }
    unlink(path.c_str());  // the lock says that nobody serves it
  }
  ring::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return SystemError("cannot make a socket");
  const mode_t before = umask(0177);
  const int bound = bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0) return SystemError(fmt::format("cannot make the socket {}", path));
  if (listen(listener.get(), 128) != 0) return SystemError("cannot listen");
  return listener;
}

// The socket's mode keeps others out already; this says so even where somebody opened the folder up.
bool TrustedPeer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

}  // namespace

ring::Result<ring::UniqueFd> LockSocket(const std::string& path) {
  if (const auto made = MakeFolder(std::filesystem::path(path).parent_path()); !made) {
    return tl::make_unexpected(made.error());
  }
  const std::string lock_path = path + ".lock";
  ring::UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return SystemError(fmt::format("cannot open {} (choose another --socket)", lock_path));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return tl::make_unexpected(
        fmt::format("another mediator serves {}: stop it, or choose another socket with --socket", path));
  }
  return lock;
}

ring::Result<std::unique_ptr<ControlServer>> ControlServer::Create(const std::string& path, ControlContext context) {
  ring::Result<ring::UniqueFd> listener = Listen(path);
  if (!listener) return tl::make_unexpected(listener.error());
  std::unique_ptr<ControlServer> server(
      new ControlServer(path, std::move(context), std::move(*listener)));
  return server;
}

ControlServer::ControlServer(std::string path, ControlContext context, ring::UniqueFd listener)
    : path_(std::move(path)),
      context_(std::move(context)),
      listener_(std::move(listener)),
      watch_(context_.loop->Watch(listener_.get(), this)) {
  context_.dispatcher->set_on_bus_error([this] { FenceBrokenSessions(); });
}

ControlServer::~ControlServer() {
  context_.loop->Unwatch(watch_);
  unlink(path_.c_str());
}

void ControlServer::OnReady() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    ring::UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (!TrustedPeer(socket.get()) || connections_.size() >= context_.config->vms_max + kOperatorsMax) {
      spdlog::warn("refused a connection: another user's, or one too many");
      continue;
    }
    connections_.push_back(std::make_unique<Connection>(this, std::move(socket)));
    if (!connections_.back()->Open()) connections_.pop_back();
  }
}

void ControlServer::FenceBrokenSessions() {
  for (const auto& connection : connections_) connection->FenceAfterBusError();
}

Connection* ControlServer::FindVm(uint32_t vm_id, const Connection* except) {
  const auto found = std::find_if(connections_.begin(), connections_.end(), [&](const auto& connection) {
    return connection.get() != except && connection->Holds(vm_id);
  });
  return found == connections_.end() ? nullptr : found->get();
}

void ControlServer::Destroy(Connection* connection) {
  // Not at once: the connection's own functions may still be on the stack.
  context_.background->Submit([this, connection]() -> Background::Completion {
    return [this, connection] {
      connections_.remove_if([connection](const auto& entry) { return entry.get() == connection; });
      for (const auto& other : connections_) other->Retry();
    };
  });
}

}  // namespace vgpu::mediator
