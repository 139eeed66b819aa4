// SPDX-License-Identifier: Apache-2.0
// vector_client: a guest's program that has vectors added over the ring, or through a port. Prints one line
// of JSON.
#include <memory>
#include <string>

#include "base/cli/options.h"
#include "base/cli/program.h"
#include "bench/lib/guest_program.h"
#include "bench/subjects/ours/ring_way.h"
#include "bench/subjects/socket/port_way.h"

namespace {

namespace cli = vgpu::cli;
using vgpu::bench::MakeRingWay;
using vgpu::bench::RingOperands;
using vgpu::bench::VectorRun;
using vgpu::bench::VectorWay;
using vgpu::bench::socket::MakePortWay;

int Run(int argc, char** argv) {
  VectorRun run;
  bool in_arena = false;
  std::string device;
  cli::Program program("vector_client", "Adds vectors from a guest.");
  CLI::App* ring = program.AddCommand("ring", "over the ring", nullptr);
  cli::AddFlag(*ring, "--in-arena", &in_arena, "operands lie there already: nothing is copied");
  CLI::App* port = program.AddCommand("port", "through a virtio-serial port", nullptr);
  cli::AddText(*port, "DEVICE", &device, "of the port")->required();
  vgpu::bench::AddRunOptions(program.app(), &run);
  if (const auto status = program.Parse(argc, argv)) return *status;
  const std::unique_ptr<VectorWay> way =
      ring->parsed() ? MakeRingWay(in_arena ? RingOperands::kInArena : RingOperands::kCopied)
                     : MakePortWay(device);
  return Print(RunVectors(*way, run));
}

}  // namespace

int main(int argc, char** argv) {
  return vgpu::bench::RunInGuest([&] { return Run(argc, argv); });
}
