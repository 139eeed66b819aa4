// SPDX-License-Identifier: Apache-2.0
// vgpuctl: the operator's view of a running mediator. The command line; each command is in a file of its own.
#include "api/codes.h"
#include "base/cli/error.h"
#include "base/cli/exit.h"
#include "base/cli/options.h"
#include "base/cli/program.h"
#include "mediator/process/config.h"
#include "tools/ctl.h"

namespace vgpu::ctl {
namespace {

constexpr char kProgram[] = "vgpuctl";

struct Command {
  const char* name;
  const char* help;
  bool asks_mediator;  // --socket means something to it
  void (*add_options)(CLI::App& command, Arguments* arguments);
  Result<void> (*run)(const Arguments& arguments);
};

void NoOptions(CLI::App&, Arguments*) {}

void AddTraceOptions(CLI::App& command, Arguments* arguments) {
  cli::AddReadableFile(command, "FILE", &arguments->trace, "what the mediator wrote")->required();
}

void AddVmOptions(CLI::App& command, Arguments* arguments) {
  cli::AddInteger(command, "VM", &arguments->vm_id, "its vm_id")->required();
}

constexpr Command kCommands[] = {
    {"status", "the mediator, its VMs and their counters", true, NoOptions, Status},
    {"quarantine", "fences a VM and keeps it out until it is released", true, AddVmOptions, Quarantine},
    {"release", "ends a quarantine, and forgets what made a VM a suspect", true, AddVmOptions, Release},
    {"trace", "prints a trace file (mediator --trace FILE): the order of service", false, AddTraceOptions,
     PrintTrace},
};

int ExitCodeOf(uint32_t code) {
  switch (code) {
    case VGPU_ERR_BAD_ARGUMENT: return cli::kExitUsage;
    case VGPU_ERR_UNAVAILABLE:
    case VGPU_ERR_NO_PERMISSION: return cli::kExitNobody;
    case VGPU_ERR_TIMEOUT: return cli::kExitTimeout;
    default: return cli::kExitFailed;
  }
}

int Run(const Command& command, const Arguments& arguments) {
  const auto done = command.run(arguments);
  if (done) return cli::kExitOk;
  const Error& error = done.error();
  cli::PrintError(kProgram, arguments.json, error.code, guest::CodeName(error.code), error.text);
  return ExitCodeOf(error.code);
}

int Main(int argc, char** argv) {
  cli::Program program(kProgram, "The operator's view of a running vgpu-ring mediator.");
  Arguments arguments{.socket = mediator::DefaultSocket(), .json = false, .trace = "", .vm_id = 0};
  CLI::Option* socket =
      cli::AddText(program.app(), "--socket", &arguments.socket, "the mediator's control socket", "PATH")
          ->capture_default_str();
  cli::AddFlag(program.app(), "--json", &arguments.json, "everything, as JSON");
  for (const Command& command : kCommands) {
    CLI::App* app = program.AddCommand(command.name, command.help, [&] { return Run(command, arguments); });
    command.add_options(*app, &arguments);
    if (!command.asks_mediator) program.Hide(app, {socket});
  }
  return program.Run(argc, argv);
}

}  // namespace
}  // namespace vgpu::ctl

int main(int argc, char** argv) { return vgpu::ctl::Main(argc, argv); }
