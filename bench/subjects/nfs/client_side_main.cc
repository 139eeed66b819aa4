// SPDX-License-Identifier: Apache-2.0
// nfs_client_side: the old system's guest program. Prints one line of JSON.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "base/cli/options.h"
#include "base/cli/program.h"
#include "bench/lib/guest_program.h"
#include "bench/subjects/nfs/client_side.h"
#include "bench/subjects/nfs/mount.h"

namespace {

namespace cli = vgpu::cli;
using vgpu::bench::Print;
using vgpu::bench::VectorRun;
using vgpu::bench::nfs::ClientPlan;
using vgpu::bench::nfs::MountOf;

std::string Mounts() {
  std::ifstream file("/proc/self/mounts");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int Run(int argc, char** argv) {
  ClientPlan plan;
  VectorRun run;
  double poll_ms = 100;
  double pause_max_ms = 0;
  cli::Program program("nfs_client_side", "The guest's program of the old NFS system.");
  CLI::App& app = program.app();
  cli::AddText(app, "FOLDER", &plan.folder, "<mount>/vm<id>")->required();
  cli::AddSeconds(app, "--poll-ms", &poll_ms, "between two looks for the answer; 0: none")->type_name("MS");
  cli::AddFlag(app, "--direct", &plan.direct, "files stay open, direct I/O: not what the old program did");
  cli::AddSeconds(app, "--pause-max-ms", &pause_max_ms, "longest pause before a request, at random")
      ->type_name("MS");
  vgpu::bench::AddRunOptions(app, &run);
  if (const auto status = program.Parse(argc, argv)) return *status;
  plan.poll_every = std::chrono::microseconds(static_cast<int64_t>(poll_ms * 1e3));
  plan.pause_max = std::chrono::microseconds(static_cast<int64_t>(pause_max_ms * 1e3));
  // Before Ask, which changes the working directory.
  const std::string folder = std::filesystem::absolute(plan.folder).lexically_normal();
  const auto result = Ask(plan, run);
  return Print(result, {{"mount", MountOf(folder, Mounts())}});
}

}  // namespace

int main(int argc, char** argv) {
  return vgpu::bench::RunInGuest([&] { return Run(argc, argv); });
}
