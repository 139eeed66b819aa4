// SPDX-License-Identifier: Apache-2.0
// The command `regs`: shows BAR0, and adds through the register window as a program
// does that knows nothing else.
#include <fmt/format.h>

#include "api/codes.h"
#include "base/histogram_json.h"
#include "base/json_text.h"
#include "base/ticks.h"
#include "guest/cli.h"
#include "guest/interrupt.h"
#include "guest/progress.h"
#include "guest/register_window.h"

namespace vgpu::guest {
namespace {

struct RegisterName {
  uint32_t off;
  const char* name;
};

constexpr RegisterName kRegisters[] = {
    {VGPU_REG_DOORBELL, "DOORBELL"},
    {VGPU_REG_STATUS, "STATUS"},
    {VGPU_REG_POOL_ID, "POOL_ID"},
    {VGPU_REG_PRIORITY, "PRIORITY"},
    {VGPU_REG_VM_ID, "VM_ID"},
    {VGPU_REG_ERROR_CODE, "ERROR_CODE"},
    {VGPU_REG_REQUEST_LEN, "REQUEST_LEN"},
    {VGPU_REG_RESPONSE_LEN, "RESPONSE_LEN"},
    {VGPU_REG_PROTOCOL_VER, "PROTOCOL_VER"},
    {VGPU_REG_CAPABILITIES, "CAPABILITIES"},
    {VGPU_REG_INTERRUPT_CTRL, "INTERRUPT_CTRL"},
    {VGPU_REG_INTERRUPT_STATUS, "INTERRUPT_STATUS"},
    {VGPU_REG_REQUEST_ID, "REQUEST_ID"},
    {VGPU_REG_TIMESTAMP_LO, "TIMESTAMP_LO"},
    {VGPU_REG_TIMESTAMP_HI, "TIMESTAMP_HI"},
    {VGPU_REG_SCRATCH, "SCRATCH"},
    {VGPU_REG_RING_CAPS, "RING_CAPS"},
    {VGPU_REG_RING_COUNT, "RING_COUNT"},
    {VGPU_REG_RING_STATE, "RING_STATE"},
    {VGPU_REG_REFUSAL, "REFUSAL"},
};

// What the value says, for the registers where that is not plain.
std::string Meaning(uint32_t off, uint32_t value) {
  static constexpr const char* kStatus[] = {"IDLE", "BUSY", "DONE", "ERROR"};
  static constexpr const char* kPriority[] = {"low", "medium", "high"};
  static constexpr const char* kState[] = {"no mediator", "attached", "fenced", "quarantined"};
  switch (off) {
    case VGPU_REG_STATUS: return value < 4 ? kStatus[value] : "";
    case VGPU_REG_POOL_ID:
      return value == 'A' || value == 'B' ? std::string(1, static_cast<char>(value)) : "";
    case VGPU_REG_PRIORITY: return value < 3 ? kPriority[value] : "";
    case VGPU_REG_ERROR_CODE: return CodeName(value);
    case VGPU_REG_REFUSAL: return value == VGPU_OK ? "none" : CodeName(value);
    case VGPU_REG_RING_CAPS:
      return fmt::format("ring {}, interrupts {}", (value & VGPU_RING_CAPS_RING) != 0 ? "yes" : "no",
                         (value & VGPU_RING_CAPS_INTERRUPTS) != 0 ? "yes" : "no");
    case VGPU_REG_RING_STATE: return value < 4 ? kState[value] : "";
    default: return "";
  }
}

int Dump(const Options& options, const Registers& registers) {
  nlohmann::ordered_json json;
  for (const RegisterName& reg : kRegisters) {
    const uint32_t value = registers.Read(reg.off);
    json[reg.name] = value;
    if (!options.json) {
      cli::Print("{:#05x}  {:<16} {:#010x}  {}\n", reg.off, reg.name, value, Meaning(reg.off, value));
    }
  }
  if (options.json) cli::PrintOrderedJson(json);
  return kExitOk;
}

int AddOnce(const Options& options, const RegisterWindow& window, const AddArgs& add) {
  auto sum = window.Add(add.a, add.b, options.deadline());
  if (!sum) return Report(options, sum.error());
  if (options.json) {
    cli::PrintJson({{"a", add.a}, {"b", add.b}, {"sum", *sum}});
  } else {
    cli::Print("{} + {} = {}\n", add.a, add.b, *sum);
  }
  return *sum == WrappingSum(add.a, add.b) ? kExitOk : kExitFailed;
}

int AddMany(const Options& options, const RegisterWindow& window, const RegsArgs& args) {
  const Interrupt interrupt;
  Progress progress("regs");
  const uint64_t seed = SeedOf(std::nullopt);
  Random random(seed);
  const base::Ticks ticks;
  base::Histogram latency_ns;
  uint64_t wrong = 0;
  End end;
  const TimePoint first = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - first).count(); };
  const auto time_left = [&] { return args.seconds == 0 || seconds() < args.seconds; };
  while (latency_ns.count() < args.count && time_left() && !interrupt.raised()) {
    const uint64_t bits = random.Next();
    const AddArgs add =
        args.add.value_or(AddArgs{static_cast<int32_t>(bits), static_cast<int32_t>(bits >> 32)});
    const TimePoint deadline = options.deadline();
    const uint64_t begin = ticks.Now();
    auto sum = window.Add(add.a, add.b, deadline);
    const uint64_t took = ticks.Now() - begin;
    if (!sum && latency_ns.count() == 0) return Report(options, sum.error());
    if (!sum) {
      end.error = sum.error();
      break;
    }
    latency_ns.Record(ticks.Ns(took));
    if (*sum != WrappingSum(add.a, add.b)) ++wrong;
    progress.ShowIfDue(latency_ns.count(), args.count, wrong);
  }
  end.interrupted = interrupt.raised() && latency_ns.count() < args.count && !end.error;
  if (options.json) {
    nlohmann::json json = {
        {"count", latency_ns.count()}, {"wrong", wrong}, {"seconds", seconds()},
        {"poll_us", args.poll_us},     {"seed", seed},   {"latency", base::LatencyJson(latency_ns)}};
    end.AddTo(&json);
    cli::PrintJson(json);
  } else {
    cli::Print(
        "{} requests through the register window, STATUS polled every {} us, {} wrong, seed {}{}\n{}\n",
        latency_ns.count(), args.poll_us, wrong, seed, end.text(), LatencyText(latency_ns));
  }
  return Finish(end, latency_ns.count(), wrong);
}

}  // namespace

int RunRegs(const Options& options, const RegsArgs& args) {
  if (!options.host.socket.empty()) {
    return Report(options,
                  {VGPU_ERR_BAD_ARGUMENT,
                   "`regs` is about the device's registers, and a socket has none: leave --socket out"});
  }
  auto device = PciTransport::Open(options.pci);
  if (!device) return Report(options, device.error());
  const Registers& registers = *(*device)->registers();
  if (!args.add && args.count == 0) return Dump(options, registers);

  if (auto claimed = (*device)->ClaimWindow(); !claimed) return Report(options, claimed.error());
  const RegisterWindow window(registers, std::chrono::microseconds(args.poll_us));
  return args.count == 0 ? AddOnce(options, window, *args.add) : AddMany(options, window, args);
}

}  // namespace vgpu::guest
