// SPDX-License-Identifier: Apache-2.0
// vgpuctl: the operator's view of a running mediator.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "base/json_text.h"
#include "base/program.h"
#include "base/working_folder.h"
#include "mediator/config.h"
#include "mediator/control_channel.h"
#include "mediator/trace.h"

namespace vgpu {
namespace {

using mediator::ControlChannel;
using mediator::ControlMessage;
using nlohmann::json;

constexpr int kTimeoutMs = 5000;

ring::Result<ring::UniqueFd> Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return tl::make_unexpected("the socket's path is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ring::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return tl::make_unexpected(fmt::format("no mediator answers at {}: {}; start it, or name its socket with --socket",
                                           path, std::strerror(errno)));
  }
  return fd;
}

ring::Result<ControlMessage> Await(ControlChannel* channel, uint32_t type) {
  for (;;) {
    ControlMessage message;
    const auto received = channel->Receive(&message);
    if (!received) return tl::make_unexpected(received.error());
    if (*received == ControlChannel::Received::kClosed) return tl::make_unexpected("the mediator closed the connection");
    if (*received == ControlChannel::Received::kMessage) {
      if (const auto* error = message.As<vgpu_msg_error>(); message.type == VGPU_MSG_ERROR && error != nullptr) {
        return tl::make_unexpected(std::string(error->text, strnlen(error->text, sizeof error->text)));
      }
      if (message.type == type) return message;
      continue;
    }
    pollfd readable{channel->fd(), POLLIN, 0};
    if (poll(&readable, 1, kTimeoutMs) == 0) return tl::make_unexpected("the mediator does not answer: is it stuck?");
  }
}

ring::Result<std::string> FetchStatus(const std::string& socket_path) {
  auto socket = Connect(socket_path);
  if (!socket) return tl::make_unexpected(socket.error());
  ControlChannel channel(std::move(*socket), VGPU_CONTROL_STATUS_BYTES_MAX);
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_OPERATOR};
  if (!channel.Send(VGPU_MSG_HELLO, hello)) return tl::make_unexpected("the mediator closed the connection");
  if (const auto greeted = Await(&channel, VGPU_MSG_HELLO); !greeted) return tl::make_unexpected(greeted.error());
  if (!channel.Send(VGPU_MSG_STATUS, std::string_view())) return tl::make_unexpected("the mediator closed the connection");
  const auto reply = Await(&channel, VGPU_MSG_STATUS_REPLY);
  if (!reply) return tl::make_unexpected(reply.error());
  return std::string(reply->payload.data(), reply->payload.size());
}

std::string Microseconds(const json& latency, const char* key) {
  return fmt::format("{:.1f}", latency.at(key).get<double>() / 1e3);
}

void PrintStatus(const json& status) {
  fmt::print("vgpu-ring mediator {}, pid {}, {} backend ({}), up {:.0f} s, {} requests, {} sleeps\n",
             status.at("version").get<std::string>(), status.at("pid").get<int>(),
             status.at("backend").get<std::string>(), status.at("device").get<std::string>(),
             status.at("uptime_s").get<double>(), status.at("loop").at("requests").get<uint64_t>(),
             status.at("loop").at("sleeps").get<uint64_t>());
  const json& vms = status.at("vms");
  if (vms.empty()) {
    fmt::print("no VM is attached\n");
    return;
  }
  fmt::print("\n{:>10} {:>4} {:>8} {:>8} {:>7} {:>12} {:>8} {:>8} {:>8} {:>19} {:>19}\n", "vm_id", "pool", "priority",
             "state", "runs on", "answered", "refused", "kicks", "calls", "queue us p50/p99", "service us p50/p99");
  for (const json& vm : vms) {
    uint64_t refused = 0, kicks = 0, calls = 0;
    for (const json& ring : vm.at("rings")) {
      refused += ring.at("refused").get<uint64_t>();
      kicks += ring.at("kicks").get<uint64_t>();
      calls += ring.at("calls").get<uint64_t>();
    }
    const json& queue = vm.at("queue_wait_ns");
    const json& service = vm.at("service_ns");
    fmt::print("{:>10} {:>4} {:>8} {:>8} {:>7} {:>12} {:>8} {:>8} {:>8} {:>19} {:>19}\n", vm.at("vm_id").get<uint32_t>(),
               vm.at("pool").get<std::string>(), vm.at("priority").get<std::string>(),
               vm.at("state").get<std::string>(), vm.at("runs_on").get<std::string>(), vm.at("answered").get<uint64_t>(), refused, kicks, calls,
               Microseconds(queue, "p50") + " / " + Microseconds(queue, "p99"),
               Microseconds(service, "p50") + " / " + Microseconds(service, "p99"));
  }
}

ring::Result<void> Status(const std::string& socket, bool as_json) {
  const auto text = FetchStatus(socket);
  if (!text) return tl::make_unexpected(text.error());
  const json status = json::parse(*text, nullptr, false);
  if (status.is_discarded()) return tl::make_unexpected("the mediator's answer is no JSON: use one release of both");
  if (as_json) {
    fmt::print("{}\n", base::JsonText(status, 2));
  } else {
    PrintStatus(status);
  }
  return {};
}

bool NamesElement(mediator::TraceEvent event) {
  return event == mediator::TraceEvent::kPiece || event == mediator::TraceEvent::kDoneByGpu;
}

ring::Result<void> PrintTrace(const std::string& path) {
  uint64_t dropped = 0;
  const auto records = mediator::ReadTrace(path, &dropped);
  if (!records) return tl::make_unexpected(records.error());
  static constexpr const char* kPriorityNames[] = {"low", "medium", "high"};
  for (const mediator::TraceRecord& record : *records) {
    fmt::print("{:>16} ns  vm {} {:<6} ring {} {:<8} {} {}\n", record.time_ns, record.vm_id,
               kPriorityNames[record.priority % 3], record.ring, TraceEventName(record.event),
               NamesElement(record.event) ? "from" : "index", record.idx);
  }
  if (dropped != 0) fmt::print("the trace was full: {} more records were dropped\n", dropped);
  return {};
}

}  // namespace
}  // namespace vgpu

int main(int argc, char** argv) {
  vgpu::base::PrepareProgram();
  if (!vgpu::base::EnterUsersFolder()) return EXIT_FAILURE;
  std::string socket = vgpu::mediator::DefaultSocket();
  std::string trace;
  bool as_json = false;
  CLI::App app("The operator's view of a running vgpu-ring mediator");
  app.require_subcommand(1);
  app.add_option("--socket", socket, "the mediator's control socket; default " + socket);
  CLI::App* status = app.add_subcommand("status", "the mediator, its VMs and their counters");
  status->fallthrough();  // --socket may come after it, too
  status->add_flag("--json", as_json, "everything, as JSON");
  CLI::App* print = app.add_subcommand("trace", "prints a trace file (mediator --trace FILE): the order of service");
  print->add_option("file", trace)->required();
  CLI11_PARSE(app, argc, argv);
  const auto done = status->parsed() ? vgpu::Status(socket, as_json) : vgpu::PrintTrace(trace);
  if (done) return EXIT_SUCCESS;
  fmt::print(stderr, "vgpuctl: {}\n", done.error());
  return EXIT_FAILURE;
}
