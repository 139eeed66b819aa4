// SPDX-License-Identifier: Apache-2.0
// vector_client: a guest's program that has vectors added over the ring, or through a port. Prints one line of JSON.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "bench/guest_program.h"
#include "bench/ring_way.h"
#include "bench/socket/port_way.h"

namespace {

using vgpu::bench::MakeRingWay;
using vgpu::bench::RingOperands;
using vgpu::bench::VectorRun;
using vgpu::bench::VectorWay;
using vgpu::bench::socket::MakePortWay;

int Run(int argc, char** argv) {
  VectorRun run;
  bool in_arena = false;
  std::string device;
  CLI::App app("Adds vectors from a guest", "vector_client");
  app.require_subcommand(1);
  CLI::App* ring = app.add_subcommand("ring", "over the ring")->fallthrough();
  ring->add_flag("--in-arena", in_arena, "operands lie there already: nothing is copied");
  CLI::App* port = app.add_subcommand("port", "through a virtio-serial port")->fallthrough();
  port->add_option("device", device, "of the port")->required();
  vgpu::bench::AddRunOptions(app, &run);
  CLI11_PARSE(app, argc, argv);
  const std::unique_ptr<VectorWay> way =
      ring->parsed() ? MakeRingWay(in_arena ? RingOperands::kInArena : RingOperands::kCopied) : MakePortWay(device);
  return Print(RunVectors(*way, run));
}

}  // namespace

int main(int argc, char** argv) {
  return vgpu::bench::RunInGuest([&] { return Run(argc, argv); });
}
