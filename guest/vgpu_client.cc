// SPDX-License-Identifier: Apache-2.0
// vgpu-client: the command line. Each command is in a file of its own; this one reads the options.
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "base/program.h"
#include "base/working_folder.h"
#include "guest/cli.h"

namespace {

using vgpu::guest::AddArgs;
using vgpu::guest::Options;
using vgpu::guest::PingArgs;
using vgpu::guest::RegsArgs;
using vgpu::guest::VaddArgs;

constexpr double kTimeoutMaxS = 1e6;

void AddGlobalOptions(CLI::App& app, Options* options) {
  app.add_flag("--json", options->json, "print JSON");
  auto* socket = app.add_option("--socket", options->host.socket,
                                "act as a guest from the host, over the mediator's control socket");
  auto* device =
      app.add_option("--device", options->pci.device,
                     "PCI address of the device (default: $VGPU_DEVICE, else the first vgpu-stub)");
  socket->excludes(device);
  app.add_option("--ring", options->ring, "which ring")->capture_default_str();
  app.add_option("--timeout", options->timeout_s, "seconds to wait for the device and for each answer")
      ->check(CLI::Range(0.0, kTimeoutMaxS))
      ->capture_default_str();

  const std::map<std::string, char> pools = {{"A", 'A'}, {"B", 'B'}};
  const std::map<std::string, uint32_t> priorities = {{"low", 0}, {"medium", 1}, {"high", 2}};
  app.add_option("--vm-id", options->host.vm_id, "identity to ask for (default: the process's id)")
      ->needs(socket);
  app.add_option("--pool", options->host.pool, "pool to ask for: A or B")
      ->transform(CLI::CheckedTransformer(pools))
      ->needs(socket);
  app.add_option("--priority", options->host.priority, "priority to ask for: low, medium or high")
      ->transform(CLI::CheckedTransformer(priorities))
      ->needs(socket);
  app.add_option("--entries", options->host.entries, "slots of the ring, a power of two")->needs(socket);
  app.add_option("--region", options->host.region_bytes, "bytes of shared memory, a power of two")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->needs(socket);
}

// A decimal 32-bit integer and nothing else; CLI11 alone takes "" for 0 and "010" for 8.
bool ParseInt32(const std::string& text, int32_t* value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end;
}

std::string CheckInt32(const std::string& text) {
  int32_t value;
  if (ParseInt32(text, &value)) return "";
  return "'" + text + "' is not a decimal integer from -2147483648 to 2147483647";
}

AddArgs OperandsOf(const std::string& a, const std::string& b) {
  AddArgs args;
  ParseInt32(a, &args.a);
  ParseInt32(b, &args.b);
  return args;
}

// Registers a command that runs `body` and puts its exit code into *exit_code.
template <class Body>
CLI::App* AddCommand(CLI::App& app, const char* name, const char* help, int* exit_code, Body body) {
  CLI::App* command = app.add_subcommand(name, help);
  command->fallthrough();  // global options may come after the command's name
  command->callback([=] { *exit_code = body(); });
  return command;
}

int ParseAndRun(int argc, char** argv) {
  CLI::App app("The guest's end of vgpu-ring: sends work to the host's GPU.", "vgpu-client");
  app.require_subcommand(1);
  Options options;
  std::string a;
  std::string b;
  VaddArgs vadd;
  PingArgs ping;
  RegsArgs regs;
  std::vector<std::string> regs_add;
  int exit_code = vgpu::guest::kExitUsage;
  AddGlobalOptions(app, &options);

  AddCommand(app, "info", "what the mediator runs on, and what it granted", &exit_code,
             [&] { return RunInfo(options); });
  CLI::App* command =
      AddCommand(app, "add", "A + B", &exit_code, [&] { return RunAdd(options, OperandsOf(a, b)); });
  command->add_option("A", a, "32-bit integer")->required()->check(CheckInt32);
  command->add_option("B", b, "32-bit integer")->required()->check(CheckInt32);

  const std::map<std::string, uint32_t> types = {
      {"i32", VGPU_TYPE_I32}, {"i64", VGPU_TYPE_I64}, {"f32", VGPU_TYPE_F32}, {"f64", VGPU_TYPE_F64}};
  command = AddCommand(app, "vadd", "add two vectors of random elements, and check the sum", &exit_code,
                       [&] { return RunVadd(options, vadd); });
  command->add_option("--count", vadd.count, "elements")
      ->required()
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
  command->add_option("--type", vadd.type, "i32, i64, f32 or f64")->transform(CLI::CheckedTransformer(types));
  command->add_flag("--in-place", vadd.in_place, "the sum replaces the first operand");
  command->add_option("--seed", vadd.seed, "of the random elements");

  command = AddCommand(app, "ping", "many small additions, each checked; prints the latency", &exit_code,
                       [&] { return RunPing(options, ping); });
  command->add_option("--count", ping.count, "requests")->required()->check(CLI::PositiveNumber);
  command->add_option("--depth", ping.depth, "requests kept outstanding")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--think", ping.think_us, "microseconds to pause before sending more")
      ->capture_default_str();
  command->add_option("--seconds", ping.seconds, "stop after so long, even with fewer requests")->check(CLI::Range(0.0, kTimeoutMaxS));
  command->add_option("--seed", ping.seed, "of the random operands");

  AddCommand(app, "bench", "a quick look at rate and latency", &exit_code, [&] { return RunBench(options); });

  command = AddCommand(app, "regs", "the device's registers; with --add, an addition through them",
                       &exit_code, [&] {
                         if (regs_add.size() == 2) regs.add = OperandsOf(regs_add[0], regs_add[1]);
                         return RunRegs(options, regs);
                       });
  command->add_option("--add", regs_add, "two 32-bit integers to add through the register window")
      ->expected(2)
      ->check(CheckInt32);
  command->add_option("--count", regs.count, "additions, for the latency; random ones without --add")
      ->check(CLI::PositiveNumber);
  command->add_option("--poll-us", regs.poll_us, "microseconds between two looks at STATUS")
      ->capture_default_str();
  command->add_option("--seconds", regs.seconds, "stop after so long, even with fewer additions")
      ->check(CLI::Range(0.0, kTimeoutMaxS));

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? vgpu::guest::kExitOk : vgpu::guest::kExitUsage;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  vgpu::base::PrepareProgram();
  if (!vgpu::base::EnterUsersFolder()) return vgpu::guest::kExitUsage;
  prctl(PR_SET_TIMERSLACK, 1'000, 0, 0, 0);  // short naps as short as they are meant, not 50 us longer
  try {
    return ParseAndRun(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vgpu-client: out of resources: %s\n", error.what());
    return vgpu::guest::kExitFailed;
  }
}
