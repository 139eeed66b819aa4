// SPDX-License-Identifier: Apache-2.0
#include "mediator/control_server.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "mediator/connection.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kOperatorsMax = 64;  // connections beyond one for each VM
constexpr int kAcceptsPerTurn = 16;

// The socket's mode keeps others out already; this says so even where somebody opened the folder up.
bool TrustedPeer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

}  // namespace

ring::Result<std::unique_ptr<ControlServer>> ControlServer::Create(const std::string& path, ControlContext context) {
  ring::Result<Listener> listener = ListenOn(path);
  if (!listener) return tl::make_unexpected(listener.error());
  std::unique_ptr<ControlServer> server(
      new ControlServer(std::move(context), std::move(*listener)));
  return server;
}

ControlServer::ControlServer(ControlContext context, Listener listener)
    : context_(std::move(context)),
      listener_(std::move(listener)),
      watch_(context_.loop->Watch(listener_.fd.get(), this)) {
  context_.dispatcher->set_on_bus_error([this] { FenceBrokenSessions(); });
}

ControlServer::~ControlServer() { context_.loop->Unwatch(watch_); }

void ControlServer::OnReady() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    ring::UniqueFd socket(accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
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
