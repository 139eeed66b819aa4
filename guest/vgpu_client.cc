// SPDX-License-Identifier: Apache-2.0
// vgpu-client: the command line. Each command is in a file of its own; this one reads the options.
#include <sys/prctl.h>

#include <vector>

#include "api/vector.h"
#include "base/cli/options.h"
#include "base/cli/program.h"
#include "guest/cli.h"

namespace vgpu::guest {
namespace {

constexpr uint64_t kElementsMax = uint64_t{1} << 40;

struct Arguments {
  Options options;
  AddArgs add;
  VaddArgs vadd;
  PingArgs ping;
  RegsArgs regs;
  std::vector<int32_t> regs_add;
};

// The program's options that say how to reach the mediator from the host; `regs` has no use for them.
std::vector<CLI::Option*> AddHostOptions(CLI::App& app, HostOptions* host) {
  const char* group = "On the host, as a guest without a VM";
  auto* socket = cli::AddText(app, "--socket", &host->socket, "the mediator's control socket", "PATH");
  std::vector<CLI::Option*> options = {
      cli::AddInteger(app, "--vm-id", &host->vm_id, "identity to ask for (default: the process's id)"),
      cli::AddChoice<char>(app, "--pool", &host->pool, "pool to ask for", {{"A", 'A'}, {"B", 'B'}}),
      cli::AddPriority(app, "--priority", &host->priority, "priority to ask for"),
      cli::AddInteger(app, "--entries", &host->entries, "slots of the ring, a power of two"),
      cli::AddBytes(app, "--region", &host->region_bytes,
                    "shared memory, a power of two; K, M, G may follow"),
  };
  for (CLI::Option* option : options) option->needs(socket);
  options.push_back(socket);
  for (CLI::Option* option : options) option->group(group);
  return options;
}

void AddDeviceOption(CLI::App& app, PciOptions* pci) {
  cli::AddText(app, "--device", &pci->device, "PCI address (default: $VGPU_DEVICE, else the first vgpu-stub)",
               "ADDRESS")
      ->group("In a VM")
      ->excludes("--socket");
}

CLI::Option* AddCommonOptions(CLI::App& app, Options* options) {
  cli::AddFlag(app, "--json", &options->json, "print JSON");
  cli::AddSeconds(app, "--timeout", &options->timeout_s, "to wait for the device and for each answer")
      ->capture_default_str();
  return cli::AddInteger(app, "--ring", &options->ring, "which ring", 0, VGPU_RINGS_MAX - 1)
      ->capture_default_str();
}

void AddVaddOptions(CLI::App& vadd, VaddArgs* args) {
  cli::AddInteger(vadd, "--count", &args->count, "elements", 1, kElementsMax)->required();
  cli::AddChoice<uint32_t>(
      vadd, "--type", &args->type, "of the elements",
      {{"i32", VGPU_TYPE_I32}, {"i64", VGPU_TYPE_I64}, {"f32", VGPU_TYPE_F32}, {"f64", VGPU_TYPE_F64}})
      ->default_str("i32");
  cli::AddFlag(vadd, "--in-place", &args->in_place, "the sum replaces the first operand");
  cli::AddInteger(vadd, "--seed", &args->seed, "of the random elements");
}

void AddPingOptions(CLI::App& ping, PingArgs* args) {
  cli::AddInteger(ping, "--count", &args->count, "requests", 1)->required();
  cli::AddInteger(ping, "--depth", &args->depth, "requests kept outstanding", 1)->capture_default_str();
  cli::AddInteger(ping, "--think", &args->think_us, "microseconds to pause before sending more")
      ->capture_default_str();
  cli::AddSeconds(ping, "--seconds", &args->seconds, "stop after so long, even with fewer requests");
  cli::AddInteger(ping, "--seed", &args->seed, "of the random operands");
}

void AddRegsOptions(CLI::App& regs, Arguments* arguments) {
  RegsArgs* args = &arguments->regs;
  cli::AddInteger(regs, "--add", &arguments->regs_add, "two numbers to add through the register window")
      ->expected(2);
  cli::AddInteger(regs, "--count", &args->count, "additions, for the latency; random ones without --add", 1);
  cli::AddInteger(regs, "--poll-us", &args->poll_us, "microseconds between two looks at STATUS")
      ->capture_default_str();
  cli::AddSeconds(regs, "--seconds", &args->seconds, "stop after so long, even with fewer additions");
}

int Regs(Arguments* arguments) {
  const auto& add = arguments->regs_add;
  if (add.size() == 2) arguments->regs.add = AddArgs{add[0], add[1]};
  return RunRegs(arguments->options, arguments->regs);
}

int Main(int argc, char** argv) {
  cli::Program program(kProgram, "The guest's end of vgpu-ring: sends work to the host's GPU.");
  Arguments arguments;
  const Options& options = arguments.options;
  CLI::Option* ring = AddCommonOptions(program.app(), &arguments.options);
  const std::vector<CLI::Option*> host = AddHostOptions(program.app(), &arguments.options.host);
  AddDeviceOption(program.app(), &arguments.options.pci);

  program.AddCommand("info", "what the mediator runs on, and what it granted",
                     [&] { return RunInfo(options); });
  CLI::App* add = program.AddCommand("add", "A + B", [&] { return RunAdd(options, arguments.add); });
  cli::AddInteger(*add, "A", &arguments.add.a, "32-bit integer")->required();
  cli::AddInteger(*add, "B", &arguments.add.b, "32-bit integer")->required();
  AddVaddOptions(*program.AddCommand("vadd", "add two vectors of random elements, and check the sum",
                                     [&] { return RunVadd(options, arguments.vadd); }),
                 &arguments.vadd);
  AddPingOptions(*program.AddCommand("ping", "many small additions, each checked; prints the latency",
                                     [&] { return RunPing(options, arguments.ping); }),
                 &arguments.ping);
  program.AddCommand("bench", "a quick look at rate and latency", [&] { return RunBench(options); });
  CLI::App* regs = program.AddCommand("regs", "the device's registers; with --add, an addition through them",
                                      [&] { return Regs(&arguments); });
  AddRegsOptions(*regs, &arguments);
  for (const CLI::Option* option : host) program.Hide(regs, {option});
  program.Hide(regs, {ring});
  return program.Run(argc, argv);
}

}  // namespace
}  // namespace vgpu::guest

int main(int argc, char** argv) {
  prctl(PR_SET_TIMERSLACK, 1'000, 0, 0, 0);  // short naps as short as they are meant, not 50 us longer
  return vgpu::guest::Main(argc, argv);
}
