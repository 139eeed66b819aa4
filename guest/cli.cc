// SPDX-License-Identifier: Apache-2.0
#include "guest/cli.h"

#include <fmt/format.h>

#include <cstdio>
#include <random>

#include "base/json_text.h"

namespace vgpu::guest {

Result<std::shared_ptr<Transport>> OpenTransport(const Options& options) {
  HostOptions host = options.host;
  if (options.ring >= host.rings && options.ring < VGPU_RINGS_MAX) host.rings = options.ring + 1;
  auto transport = OpenTransport(options.pci, host, options.deadline());
  if (transport && !(*transport)->warning().empty()) {
    fmt::print(stderr, "vgpu-client: warning: {}\n", (*transport)->warning());
  }
  return transport;
}

Result<std::unique_ptr<Client>> OpenClient(const Options& options) {
  auto transport = OpenTransport(options);
  if (!transport) return tl::make_unexpected(transport.error());
  return Client::Open(std::move(*transport), options.ring, options.deadline());
}

int Report(const Options& options, const Error& error) {
  fmt::print(stderr, "vgpu-client: {}\n", error.text);
  if (options.json) {
    const nlohmann::json json = {
        {"error", {{"code", error.code}, {"name", CodeName(error.code)}, {"text", error.text}}}};
    fmt::print("{}\n", base::JsonText(json));
  }
  return ExitCodeOf(error.code);
}

ExitCode ExitCodeOf(uint32_t code) {
  switch (code) {
    case VGPU_OK:
      return kExitOk;
    case VGPU_ERR_BAD_ARGUMENT:
      return kExitUsage;
    case VGPU_ERR_NO_DEVICE:
    case VGPU_ERR_NO_PERMISSION:
    case VGPU_ERR_UNAVAILABLE:
      return kExitNobody;
    case VGPU_ERR_TIMEOUT:
      return kExitTimeout;
    default:
      return kExitFailed;
  }
}

std::string LatencyText(const base::Histogram& latency_ns) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  return fmt::format("latency p50 {:.2f} us, p99 {:.2f} us, p99.9 {:.2f} us, max {:.2f} us",
                     us(latency_ns.Percentile(50)), us(latency_ns.Percentile(99)),
                     us(latency_ns.Percentile(99.9)), us(latency_ns.max()));
}

uint64_t SeedOf(const std::optional<uint64_t>& seed) { return seed ? *seed : std::random_device()(); }

}  // namespace vgpu::guest
