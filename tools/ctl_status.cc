// SPDX-License-Identifier: Apache-2.0
// vgpuctl status: the mediator, its VMs and their counters.
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "base/cli/output.h"
#include "base/duration.h"
#include "tools/ctl.h"
#include "tools/ctl_link.h"

namespace vgpu::ctl {
namespace {

using nlohmann::json;

constexpr char kRow[] = "{:>10} {:>4} {:>8} {:>11} {:>7} {:>12} {:>8} {:>8} {:>8} {:>19} {:>19}\n";

uint64_t Sum(const json& vm, const char* key) {
  uint64_t sum = 0;
  for (const json& ring : vm.at("rings")) sum += ring.at(key).get<uint64_t>();
  return sum;
}

std::string Latency(const json& latency) {
  return base::DurationText(latency.at("p50").get<double>()) + " / " +
         base::DurationText(latency.at("p99").get<double>());
}

std::string VmText(const json& vm) {
  return fmt::format(kRow, vm.at("vm_id").get<uint32_t>(), vm.at("pool").get<std::string>(),
                     vm.at("priority").get<std::string>(), vm.at("state").get<std::string>(),
                     vm.at("runs_on").get<std::string>(), vm.at("answered").get<uint64_t>(),
                     Sum(vm, "refused"), Sum(vm, "kicks"), Sum(vm, "calls"), Latency(vm.at("queue_wait_ns")),
                     Latency(vm.at("service_ns")));
}

std::string StatusText(const json& status) {
  const json& loop = status.at("loop");
  std::string text =
      fmt::format("vgpu-ring mediator {}, pid {}, {} backend ({}), up {:.0f} s, {} requests, {} sleeps\n",
                  status.at("version").get<std::string>(), status.at("pid").get<int>(),
                  status.at("backend").get<std::string>(), status.at("device").get<std::string>(),
                  status.at("uptime_s").get<double>(), loop.at("requests").get<uint64_t>(),
                  loop.at("sleeps").get<uint64_t>());
  const json& vms = status.at("vms");
  if (vms.empty()) return text + "no VM is attached\n";
  text += "\n" + fmt::format(kRow, "vm_id", "pool", "priority", "state", "runs on", "answered", "refused",
                             "kicks", "calls", "queue p50 / p99", "service p50 / p99");
  for (const json& vm : vms) text += VmText(vm);
  return text;
}

}  // namespace

Result<void> Status(const Arguments& arguments) {
  auto link = Link::Open(arguments.socket);
  if (!link) return tl::make_unexpected(link.error());
  const auto reply = (*link)->Ask(VGPU_MSG_STATUS, {}, VGPU_MSG_STATUS_REPLY);
  if (!reply) return tl::make_unexpected(reply.error());
  const json status = json::parse(reply->payload.begin(), reply->payload.end(), nullptr, false);
  if (status.is_discarded()) {
    return guest::Fail(VGPU_ERR_VERSION, "the mediator's answer is no JSON: use one release of both");
  }
  try {
    if (arguments.json) {
      cli::PrintJson(status, 2);
    } else {
      cli::PrintText(StatusText(status));
    }
  } catch (const json::exception& error) {
    return guest::Fail(
        VGPU_ERR_VERSION,
        fmt::format("the mediator's status is of another release ({}): use one release of both, or --json",
                    error.what()));
  }
  return {};
}

}  // namespace vgpu::ctl
