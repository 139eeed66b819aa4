// SPDX-License-Identifier: Apache-2.0
// Bytes a second of VECTOR_ADD on a guest's memory, beside pinned copies of the same
// bytes with as many outstanding.
#include <fmt/format.h>

#include "bench/figures/gpu/setup.h"
#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

struct Case {
  const char* name;
  const char* title;
  VectorPlan plan;
  Gate gate;
};
const Case kCases[] = {
    {"copy_64m",
     "vectors of 64 MiB: bytes a second / pinned copies",
     {64 << 20, 4, 1},
     {0.9, Better::kHigher, 0.99}},
    {"copy_1m",
     "vectors of 1 MiB: bytes a second / pinned copies",
     {1 << 20, 8, 2},
     {0.6, Better::kHigher, 0.8}},
};

Result<void> Measure(Setup* setup, const Case& what) {
  const auto mediator = setup->Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  GuestPlan plan;
  plan.vm_id = 1;
  plan.vectors = true;
  plan.vector = what.plan;
  const auto guest = Guests::Start(**mediator, {plan});
  if (!guest) return tl::make_unexpected(guest.error());
  const uint32_t outstanding = what.plan.rings * what.plan.depth;
  std::unique_ptr<Copies> copies;
  if (setup->lab != nullptr)
    copies = std::make_unique<Copies>(setup->lab.get(), what.plan.bytes, outstanding);
  std::vector<double> ours, theirs, cpu_us;
  for (uint32_t round = 0; round < setup->rounds(10); ++round) {
    if (copies) theirs.push_back(copies->TwoInOneOut());
    const auto interval = WorkFor(**guest, 1, **mediator, setup->Span(400));
    if (!interval) return tl::make_unexpected(interval.error());
    ours.push_back(interval->per_second * 3 * static_cast<double>(what.plan.bytes) / 1e9);
    cpu_us.push_back(interval->cpu_us_per_request);
  }
  const std::string note = fmt::format(
      "{:.1f} GB/s in and out together, {:.0f} us CPU a vector; copies {:.1f} GB/s; {} outstanding",
      Median(ours), Median(cpu_us), Median(theirs), outstanding);
  Figure figure = Compare(what.name, what.title, what.gate, ours, theirs, note);
  NoteWrong((*guest)->Total().wrong, &figure);
  setup->figures.push_back(figure);
  return {};
}

void PrintNative(Setup* setup) {
  constexpr uint32_t kOutstanding = 4;
  if (setup->lab == nullptr) return;
  fmt::print("\n{:<44} {:>9} {:>9} {:>16}\n", "pinned copies, 4 outstanding, GB/s", "in", "out",
             "two in, one out");
  for (const uint64_t kib : {64, 1024, 4096, 65536}) {
    Copies copies(setup->lab.get(), kib << 10, kOutstanding);
    std::vector<double> in, out, both;
    for (uint32_t round = 0; round < (setup->quick ? 1 : 5); ++round) {
      in.push_back(copies.In());
      out.push_back(copies.Out());
      both.push_back(copies.TwoInOneOut());
    }
    fmt::print("{:>10} KiB {:>39.1f} {:>9.1f} {:>16.1f}\n", kib, Median(in), Median(out), Median(both));
    setup->json["copies"].push_back(
        {{"bytes", kib << 10}, {"in", in}, {"out", out}, {"two_in_one_out", both}});
  }
}

}  // namespace

Result<void> MeasureCopyRates(Setup* setup) {
  PrintNative(setup);
  for (const Case& what : kCases) {
    if (const auto measured = Measure(setup, what); !measured) return measured;
  }
  return {};
}

}  // namespace vgpu::bench
