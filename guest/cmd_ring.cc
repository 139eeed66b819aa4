// SPDX-License-Identifier: Apache-2.0
// The commands that use a ring: info, add.
#include <fmt/format.h>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/json_text.h"
#include "guest/cli.h"

namespace vgpu::guest {
namespace {

nlohmann::json InfoJson(const Client& client, const vgpu_device_info& info) {
  const Transport& transport = client.transport();
  return {{"transport", transport.description()},
          {"warning", transport.warning()},
          {"abi_version", fmt::format("{}.{}", info.abi_version >> 16, info.abi_version & 0xffff)},
          {"backend", info.backend == VGPU_BACKEND_CUDA ? "cuda" : "cpu"},
          {"name", info.name},
          {"driver", info.driver},
          {"memory_bytes", info.memory_bytes},
          {"vm_id", info.vm_id},
          {"pool", std::string(1, static_cast<char>(info.pool))},
          {"priority", info.priority},
          {"vector_max", info.vector_max},
          {"ring", client.ring_idx()},
          {"rings", transport.layout().ring_count},
          {"entries", client.entries()},
          {"arena_bytes", client.arena_bytes()}};
}

void PrintInfo(const Client& client, const vgpu_device_info& info) {
  static constexpr const char* kPriorities[] = {"low", "medium", "high"};
  const Transport& transport = client.transport();
  cli::Print("transport  {}\n", transport.description());
  cli::Print("backend    {}: {}\n", info.backend == VGPU_BACKEND_CUDA ? "cuda" : "cpu", info.name);
  cli::Print("driver     {}\n", info.driver);
  cli::Print("memory     {:.1f} GiB\n", static_cast<double>(info.memory_bytes) / (1u << 30));
  cli::Print("granted    vm {}, pool {}, priority {}\n", info.vm_id, static_cast<char>(info.pool),
             info.priority < 3 ? kPriorities[info.priority] : "unknown");
  cli::Print("ring       {} of {}, {} entries, {} KiB of arena\n", client.ring_idx(),
             transport.layout().ring_count, client.entries(), client.arena_bytes() >> 10);
  cli::Print("limits     {} elements in one vector\n", info.vector_max);
  cli::Print("ABI        {}.{}\n", info.abi_version >> 16, info.abi_version & 0xffff);
}

}  // namespace

int RunInfo(const Options& options) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  auto info = (*client)->Info(options.deadline());
  if (!info) return Report(options, info.error());
  if (options.json) {
    cli::PrintJson(InfoJson(**client, *info));
  } else {
    PrintInfo(**client, *info);
  }
  return kExitOk;
}

int RunAdd(const Options& options, const AddArgs& args) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  const TimePoint begin = Clock::now();
  auto answer = (*client)->Wait((*client)->Add(args.a, args.b), begin + options.timeout());
  const auto took = Clock::now() - begin;
  if (!answer) return Report(options, answer.error());
  if (answer->code != VGPU_OK) return Report(options, Refused(answer->code));

  const auto sum = static_cast<int32_t>(answer->data);
  const bool right = sum == WrappingSum(args.a, args.b);
  if (options.json) {
    cli::PrintJson(
        {{"a", args.a}, {"b", args.b}, {"sum", sum}, {"right", right}, {"latency_ns", took.count()}});
  } else {
    cli::Print("{} + {} = {}\n", args.a, args.b, sum);
  }
  if (right) return kExitOk;
  cli::Say(kProgram, fmt::format("the answer is wrong, {} was expected: report this with the mediator's log",
                                 WrappingSum(args.a, args.b)));
  return kExitFailed;
}

}  // namespace vgpu::guest
