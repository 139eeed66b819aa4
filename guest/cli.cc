// SPDX-License-Identifier: Apache-2.0
#include "guest/cli.h"

#include <fmt/format.h>

#include <random>

#include "api/codes.h"
#include "base/cli/error.h"
#include "base/duration.h"

namespace vgpu::guest {

static_assert(cli::kBadArgument == VGPU_ERR_BAD_ARGUMENT);

Result<std::shared_ptr<Transport>> OpenTransport(const Options& options) {
  HostOptions host = options.host;
  if (options.ring >= host.rings && options.ring < VGPU_RINGS_MAX) host.rings = options.ring + 1;
  auto transport = OpenTransport(options.pci, host, options.deadline());
  if (transport && !(*transport)->warning().empty()) {
    cli::Say(kProgram, "warning: " + (*transport)->warning());
  }
  return transport;
}

Result<std::unique_ptr<Client>> OpenClient(const Options& options) {
  auto transport = OpenTransport(options);
  if (!transport) return tl::make_unexpected(transport.error());
  return Client::Open(std::move(*transport), options.ring, options.deadline());
}

int Report(const Options& options, const Error& error) {
  cli::PrintError(kProgram, options.json, error.code, CodeName(error.code), error.text);
  return ExitCodeOf(error.code);
}

ExitCode ExitCodeOf(uint32_t code) {
  switch (code) {
    case VGPU_OK: return kExitOk;
    case VGPU_ERR_BAD_ARGUMENT: return kExitUsage;
    case VGPU_ERR_NO_DEVICE:
    case VGPU_ERR_NO_PERMISSION:
    case VGPU_ERR_UNAVAILABLE: return kExitNobody;
    case VGPU_ERR_TIMEOUT: return kExitTimeout;
    default: return kExitFailed;
  }
}

ExitCode StatusOf(uint64_t measured, uint64_t wrong) {
  return measured > 0 && wrong == 0 ? kExitOk : kExitFailed;
}

std::string End::text() const {
  if (error) return ", ended by an error";
  return interrupted ? ", interrupted" : "";
}

void End::AddTo(nlohmann::json* json) const {
  (*json)["interrupted"] = interrupted;
  if (error) (*json)["error"] = cli::ErrorJson(error->code, CodeName(error->code), error->text);
}

int Finish(const End& end, uint64_t measured, uint64_t wrong) {
  if (!end.error) return StatusOf(measured, wrong);
  cli::Say(kProgram, end.error->text);
  return ExitCodeOf(end.error->code);
}

std::string LatencyText(const base::Histogram& latency_ns) {
  if (latency_ns.count() == 0) return "no latency: nothing was answered";
  const auto text = [](uint64_t ns) { return base::DurationText(static_cast<double>(ns)); };
  return fmt::format("latency p50 {}, p99 {}, p99.9 {}, max {}", text(latency_ns.Percentile(50)),
                     text(latency_ns.Percentile(99)), text(latency_ns.Percentile(99.9)),
                     text(latency_ns.max()));
}

uint64_t SeedOf(const std::optional<uint64_t>& seed) { return seed ? *seed : std::random_device()(); }

}  // namespace vgpu::guest
