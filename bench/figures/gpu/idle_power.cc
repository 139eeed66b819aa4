// SPDX-License-Identifier: Apache-2.0
// What the GPU does and draws while 32 guests are attached and idle, and while no mediator runs, as
// nvidia-smi reads it; and what it costs that an idle GPU is given back (gpu.park_s): how long it takes to
// come back, and what a guest sees meanwhile.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <sstream>
#include <thread>

#include "bench/figures/gpu/setup.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kGuests = 32;
constexpr uint32_t kAskerVm = 100;
constexpr const char* kParkSoon = "park_s = 1";
constexpr uint32_t kSamples = 6;
constexpr double kSettledWatts = 1.5;  // the readings differ by less
constexpr std::chrono::seconds kSettleMax{20};
constexpr std::chrono::milliseconds kBetween{250};

struct Sample {
  double utilisation = 0;  // %
  double watts = 0;
};

Result<Sample> ReadGpu() {
  const TempDir folder;
  SpawnOptions spawn;
  spawn.out = folder / "out";
  std::vector<std::string> argv = {"nvidia-smi", "--query-gpu=utilization.gpu,power.draw",
                                   "--format=csv,noheader,nounits"};
  if (const char* gpu = std::getenv("CUDA_VISIBLE_DEVICES")) argv.push_back(std::string("--id=") + gpu);
  auto child = Spawn(argv, spawn);
  if (!child) return tl::make_unexpected(child.error());
  if (child->Wait() != 0) return tl::make_unexpected("there is no nvidia-smi, or it failed");
  std::istringstream line(ReadFile(spawn.out));
  Sample sample;
  char comma;
  if (!(line >> sample.utilisation >> comma >> sample.watts))
    return tl::make_unexpected("nvidia-smi gives no numbers");
  return sample;
}

// Medians of a few readings, once they no longer change: what went before takes seconds to fade.
Result<Sample> Settled() {
  std::deque<double> utilisation, watts;
  const auto deadline = std::chrono::steady_clock::now() + kSettleMax;
  for (;;) {
    const auto sample = ReadGpu();
    if (!sample) return sample;
    utilisation.push_back(sample->utilisation);
    watts.push_back(sample->watts);
    if (watts.size() > kSamples) {
      utilisation.pop_front();
      watts.pop_front();
      const auto [low, high] = std::minmax_element(watts.begin(), watts.end());
      if (*high - *low < kSettledWatts || std::chrono::steady_clock::now() > deadline) break;
    }
    std::this_thread::sleep_for(kBetween);
  }
  return Sample{Median({utilisation.begin(), utilisation.end()}), Median({watts.begin(), watts.end()})};
}

struct Readings {
  std::vector<double> without, with, utilisation, loaded, loaded_utilisation, back_ms, longest_us;
  uint64_t wrong = 0;
};

// One guest asks, again and again, until the GPU is there.
Result<void> ComeBack(const MediatorProcess& mediator, guest::Client* asker, Readings* readings) {
  std::atomic<bool> over{false};
  const uint64_t begin_ns = SteadyNs();
  Result<void> came;
  std::thread watch([&] {
    came = mediator.AwaitGpu(kAskerVm);
    over = true;
  });
  uint64_t longest_ns = 0;
  while (!over) {
    const uint64_t asked_ns = SteadyNs();
    readings->wrong += AskOneByOne(*asker, 1).wrong;
    longest_ns = std::max(longest_ns, SteadyNs() - asked_ns);
  }
  watch.join();
  readings->back_ms.push_back(static_cast<double>(SteadyNs() - begin_ns) / 1e6);
  readings->longest_us.push_back(static_cast<double>(longest_ns) / 1e3);
  return came;
}

Result<void> TakeReadings(const Setup& setup, Readings* readings) {
  const auto without = Settled();
  if (!without) return tl::make_unexpected(without.error());
  const auto mediator = setup.Mediator(kParkSoon);
  if (!mediator) return tl::make_unexpected(mediator.error());
  const auto guests = Guests::Start(**mediator, AddGuests(kGuests, 1, 64));
  if (!guests) return tl::make_unexpected(guests.error());
  guest::HostOptions options;
  options.vm_id = kAskerVm;
  options.region_bytes = 1 << 20;
  const auto asker = OpenGuest(**mediator, options);
  if (!asker) return tl::make_unexpected(asker.error());
  if (const auto parked = (*mediator)->AwaitRunsOn(kAskerVm, "parked"); !parked) return parked;
  const auto with = Settled();
  if (!with) return tl::make_unexpected(with.error());
  if (const auto back = ComeBack(**mediator, asker->get(), readings); !back) return back;
  (*guests)->Work(kGuests);
  const auto loaded = Settled();
  if (!loaded) return tl::make_unexpected(loaded.error());
  if (const auto rested = (*guests)->Rest(); !rested) return rested;
  readings->without.push_back(without->watts);
  readings->with.push_back(with->watts);
  readings->utilisation.push_back(with->utilisation);
  readings->loaded.push_back(loaded->watts);
  readings->loaded_utilisation.push_back(loaded->utilisation);
  return {};
}

}  // namespace

Result<void> MeasureIdlePower(Setup* setup) {
  if (const auto works = ReadGpu(); !works) {
    setup->figures.push_back(Skipped("idle_gpu", works.error()));
    setup->figures.push_back(Skipped("idle_power", works.error()));
    return {};
  }
  setup->lab.reset();  // a context of this process draws power, too
  Readings all;
  for (uint32_t round = 0; round < setup->rounds(5); ++round) {
    if (const auto done = TakeReadings(*setup, &all); !done) return done;
  }
  Figure idle;
  idle.name = "idle_gpu";
  idle.title = "32 idle guests attached: utilisation of the GPU, %";
  idle.gate = {0, Better::kLower, {}};
  idle.values = all.utilisation;
  idle.note = fmt::format("while the same guests work: {:.0f} %, {:.1f} W", Median(all.loaded_utilisation),
                          Median(all.loaded));
  idle.detail = {{"loaded_w", all.loaded}, {"loaded_utilisation", all.loaded_utilisation}};
  // What the reading without a mediator varies by is allowed.
  const Spread without = SpreadOf(all.without);
  Figure power = Compare("idle_power", "32 idle guests attached: watts / without a mediator",
                         {without.max / without.median, Better::kLower, {}}, all.with, all.without, "");
  power.note = fmt::format(
      "with {:.1f} W, without {:.1f} W ({:.1f} to {:.1f}); the gate is 1 and that spread. {} in effect; a "
      "guest that asks has the GPU again after {:.0f} ms, and until then the CPU's answers, the slowest "
      "after {:.0f} us",
      Median(all.with), without.median, without.min, without.max, kParkSoon, Median(all.back_ms),
      Median(all.longest_us));
  power.detail["back_ms"] = all.back_ms;
  power.detail["longest_us"] = all.longest_us;
  NoteWrong(all.wrong, &power);
  setup->json["watts"] = {{"without", all.without}, {"idle", all.with}, {"loaded", all.loaded}};
  setup->figures.push_back(idle);
  setup->figures.push_back(power);
  return {};
}

}  // namespace vgpu::bench
