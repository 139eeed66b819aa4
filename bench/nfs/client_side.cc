// SPDX-License-Identifier: Apache-2.0
#include "bench/nfs/client_side.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "bench/nfs/exchange.h"
#include "bench/nfs/request.h"

namespace vgpu::bench::nfs {
namespace {

using Clock = std::chrono::steady_clock;

// The answer to what was sent.
std::string Await(Exchange& exchange, const ClientPlan& plan, Clock::time_point deadline) {
  for (;;) {
    std::string line = exchange.Look();
    if (!line.empty()) return line;
    if (Clock::now() > deadline) throw std::runtime_error(fmt::format("no answer within {} s", plan.timeout.count()));
    if (plan.poll_every.count() > 0) std::this_thread::sleep_for(plan.poll_every);
  }
}

}  // namespace

ClientResult Ask(const ClientPlan& plan) {
  const std::filesystem::path folder = std::filesystem::absolute(plan.folder).lexically_normal();
  const auto vm_id = VmIdOf(folder.filename().string());
  if (!vm_id) throw std::runtime_error(fmt::format("{} is {}", plan.folder, vm_id.error()));
  // So that no look walks the path to it again, over the network where lookups are not cached.
  if (chdir(folder.c_str()) != 0) throw std::system_error(errno, std::generic_category(), plan.folder);
  std::mt19937_64 random(plan.seed);
  std::uniform_int_distribution<int64_t> pause_us(0, plan.pause_max.count());
  ClientResult result;
  const std::unique_ptr<Exchange> exchange = plan.direct ? MakeDirectExchange() : MakeExchangeByPath();
  exchange->Forget();
  for (uint64_t i = 0; i < plan.warm_up + plan.count; ++i) {
    const uint64_t bits = random();
    const Request request = {plan.pool, plan.priority, *vm_id, static_cast<int32_t>(bits),
                             static_cast<int32_t>(bits >> 32)};
    const std::string text = TextOf(request);
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us(random)));
    const auto begin = Clock::now();
    exchange->Send(text);
    const std::string answer = Await(*exchange, plan, begin + plan.timeout);
    const auto took = Clock::now() - begin;
    if (answer.starts_with("ERROR")) throw std::runtime_error("refused: " + answer);
    result.wrong += answer != fmt::format("{}\n", request.sum());
    if (i >= plan.warm_up) result.latency_ns.Record(static_cast<uint64_t>(std::chrono::nanoseconds(took).count()));
    exchange->Forget();
  }
  return result;
}

}  // namespace vgpu::bench::nfs
