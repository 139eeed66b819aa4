// SPDX-License-Identifier: Apache-2.0
// What does it cost two processors to hand over a line, and does it matter in which page it lies? One line
// after the other, of many pages of shared memory: a round trip in which the client writes one word of it and
// the server another, as in a slot. A machine on which pages differ gives each VM, and each contestant of a
// benchmark, its own luck (contest.h, kPlaces).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bench/lib/figure.h"
#include "bench/lib/process.h"
#include "bench/lib/program.h"
#include "bench/lib/rival_server.h"
#include "bench/lib/shared_memory.h"
#include "bench/lib/stats.h"

namespace vgpu::bench {
namespace {

constexpr size_t kPages = 1024;
constexpr size_t kLinesOfPage = 64;
constexpr size_t kSweeps = 5;
constexpr uint64_t kPings = 20;  // in a row, on one line
constexpr double kDear = 1.2;    // of the median page

struct alignas(64) Line {
  std::atomic<uint64_t> ping{0};
  std::array<uint64_t, 6> between{};
  std::atomic<uint64_t> pong{0};
};
using Page = std::array<Line, kLinesOfPage>;
static_assert(sizeof(Line) == 64 && sizeof(Page) == 4096);
using Pages = std::array<Page, kPages>;

// `check` is called now and then.
template <class Check>
void Await(const std::atomic<uint64_t>& word, uint64_t value, Check check) {
  for (uint32_t checks = 1; word.load(std::memory_order_acquire) != value; ++checks) {
    if (checks % (1 << 20) == 0) check();
  }
}

// The same walk on both sides: every line in its turn, and a number of its own for every ping.
template <class Visit>
void Walk(Pages* pages, Visit visit) {
  uint64_t serial = 0;
  for (size_t sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t page = 0; page < kPages; ++page) {
      for (Line& line : (*pages)[page]) visit(sweep, page, line, &serial);
    }
  }
}

// By sweep and page: ns of a round trip, the mean of its lines.
using Costs = std::array<std::array<double, kPages>, kSweeps>;

void Measure(Costs* costs) {
  Shared<Pages> pages;
  RivalServer server([&pages](uint64_t) {
    Walk(pages.get(), [](size_t, size_t, Line& line, uint64_t* serial) {
      for (uint64_t i = 0; i < kPings; ++i) {
        Await(line.ping, ++*serial, [] {});  // it ends with its client
        line.pong.store(*serial, std::memory_order_release);
      }
    });
  });
  server.Begin(1);
  Walk(pages.get(), [costs, &server](size_t sweep, size_t page, Line& line, uint64_t* serial) {
    using Clock = std::chrono::steady_clock;
    const auto ping = [&] {
      line.ping.store(++*serial, std::memory_order_release);
      Await(line.pong, *serial, [&server] {
        if (!server.running()) throw std::runtime_error("the process on the other processor has ended");
      });
    };
    ping();  // brings the line here
    const Clock::time_point begin = Clock::now();
    for (uint64_t i = 1; i < kPings; ++i) ping();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    (*costs)[sweep][page] += took.count() / static_cast<double>((kPings - 1) * kLinesOfPage);
  });
}

int Run() {
  const auto priority = TakeClientCpu();
  if (priority == nullptr) return EXIT_FAILURE;
  const auto costs = std::make_unique<Costs>();
  Measure(costs.get());
  std::vector<double> by_page(kPages);
  for (size_t page = 0; page < kPages; ++page) {
    std::vector<double> sweeps;
    for (const auto& sweep : *costs) sweeps.push_back(sweep[page]);
    by_page[page] = Quantile(sweeps, 0.5);
  }
  const double median = Quantile(by_page, 0.5);
  const auto dear =
      std::count_if(by_page.begin(), by_page.end(), [&](double ns) { return ns > kDear * median; });
  fmt::print(
      "{}\n\nhanding over a line and getting it back, ns by page ({} pages of {} lines, {} sweeps of {} "
      "pings a line)\n",
      MachineText(), kPages, kLinesOfPage, kSweeps, kPings);
  for (const double q : {0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0}) {
    fmt::print("  p{:<4g} {:7.0f}  {:5.2f} of the median page\n", 100 * q, Quantile(by_page, q),
               Quantile(by_page, q) / median);
  }
  fmt::print("pages that cost more than {} times the median: {} ({:.1f} %)\n", kDear, dear,
             100.0 * static_cast<double>(dear) / kPages);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace vgpu::bench

int main() { return vgpu::bench::StatusOf(vgpu::bench::Run); }
