// SPDX-License-Identifier: Apache-2.0
#include "base/connect.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

namespace vgpu::base {
namespace {

// The kernel refuses a connection to what is no socket as it does to one that nobody serves.
int TellApart(int error, const std::string& path) {
  struct stat info;
  const bool no_socket = error == ECONNREFUSED && stat(path.c_str(), &info) == 0 && !S_ISSOCK(info.st_mode);
  return no_socket ? ENOTSOCK : error;
}

std::string Refused(const std::string& path) {
  return fmt::format("no mediator listens on {}: the one that made this socket has ended; start it again",
                     path);
}

std::string Denied(const std::string& path) {
  struct stat info;
  const std::string owner = stat(path.c_str(), &info) == 0 ? fmt::format(" (uid {})", info.st_uid) : "";
  return fmt::format(
      "cannot connect to {}: permission denied: the mediator runs as another user; run as root or its user{}",
      path, owner);
}

std::string Explain(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
      return fmt::format(
          "no mediator listens on {}: there is no such socket; start the mediator (`mediator --socket {}`), "
          "or name the socket that it serves",
          path, path);
    case ECONNREFUSED: return Refused(path);
    case ENOTSOCK: return fmt::format("'{}' is no socket: name the one that the mediator serves", path);
    case EACCES: return Denied(path);
    case EPERM:
      return fmt::format("cannot connect to {}: this system's security policy forbids it; change the policy",
                         path);
    case EAGAIN:
      return fmt::format(
          "the mediator on {} does not accept connections: it is stopped, or too busy; try again, or look at "
          "its log",
          path);
    case EPROTOTYPE:
      return fmt::format("'{}' is a socket of another kind than the mediator's: name the one that it serves",
                         path);
    default:
      return fmt::format(
          "cannot connect to {}: {}; check the path, or name the socket that the mediator serves", path,
          std::strerror(error));
  }
}

}  // namespace

tl::expected<void, ConnectError> Connect(int socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return tl::make_unexpected(ConnectError{
        ENAMETOOLONG, fmt::format("the socket path '{}' is empty or longer than {} bytes: use another", path,
                                  sizeof(address.sun_path) - 1)});
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return {};
  const int error = TellApart(errno, path);
  return tl::make_unexpected(ConnectError{error, Explain(error, path)});
}

bool WaitReadable(int socket, std::chrono::steady_clock::time_point deadline) {
  using std::chrono::nanoseconds;
  while (true) {
    const auto left = std::max<nanoseconds>(deadline - std::chrono::steady_clock::now(), nanoseconds(0));
    const timespec time = {static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
    pollfd readable{socket, POLLIN, 0};
    const int ready = ppoll(&readable, 1, &time, nullptr);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return true;  // the call that receives reports it
  }
}

tl::expected<Received, ChannelError> AwaitFrame(Channel& channel,
                                                std::chrono::steady_clock::time_point deadline,
                                                Frame<UniqueFd>* frame) {
  while (true) {
    auto received = channel.Receive(frame);
    if (!received || *received != Received::kNothingYet) return received;
    if (!WaitReadable(channel.fd(), deadline)) return Received::kNothingYet;
  }
}

std::string Explain(const ChannelError& error, const FrameFormat& format) {
  switch (error.fault) {
    case ChannelFault::kForeign:
      return "what answers on this socket is not a vgpu-ring mediator: check the path";
    case ChannelFault::kVersion:
      return fmt::format(
          "the mediator speaks control protocol {}, this program {}: install matching versions", error.value,
          format.version);
    case ChannelFault::kTooLong:
      return fmt::format("the mediator sent a message of {} bytes, more than {}: install matching versions",
                         error.value, format.payload_max);
    case ChannelFault::kTooManyFds:  // of the mediator's end only: these programs receive none
    case ChannelFault::kNoFdsLeft:
    case ChannelFault::kCutOff: break;
  }
  return kHungUp;
}

}  // namespace vgpu::base
