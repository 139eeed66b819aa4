// SPDX-License-Identifier: Apache-2.0
// nfs_client_side: the old system's guest program. Prints one line of JSON.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/guest_program.h"
#include "bench/nfs/client_side.h"
#include "bench/nfs/mount.h"

namespace {

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
  CLI::App app("The guest's program of the old NFS system", "nfs_client_side");
  app.add_option("folder", plan.folder, "<mount>/vm<id>")->required();
  app.add_option("--poll-ms", poll_ms, "between two looks for the answer; 0: none")->capture_default_str();
  app.add_flag("--direct", plan.direct, "files stay open, direct I/O: not what the old program did");
  app.add_option("--pause-max-ms", pause_max_ms, "longest pause before a request, at random")->capture_default_str();
  vgpu::bench::AddRunOptions(app, &run);
  CLI11_PARSE(app, argc, argv);
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
