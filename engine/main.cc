// SPDX-License-Identifier: Apache-2.0
// The program vgpu-worker: an engine process, started by the mediator.
#include <csignal>
#include <optional>
#include <string_view>

#include "base/cli/exit.h"
#include "base/cli/output.h"
#include "base/cli/program.h"
#include "base/program.h"
#include "engine/engine.h"
#include "engine/options.h"

int main(int argc, char** argv) {
  namespace cli = vgpu::cli;
  vgpu::base::KeepDescriptors();
  signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes (ulimit -f) is an error to be named, not the end
  if (argc > 1 && std::string_view(argv[1]) == vgpu::engine::kEngineCommand)
    return vgpu::engine::EngineMain(argc, argv);
  cli::Program program("vgpu-worker",
                       "Uses a GPU for the vgpu-ring mediator, which starts it. Not for people.");
  if (const std::optional<int> status = program.Parse(argc, argv)) return *status;
  cli::Say("vgpu-worker",
           "the mediator starts this program, with descriptors that it needs: start the mediator");
  return cli::kExitUsage;
}
