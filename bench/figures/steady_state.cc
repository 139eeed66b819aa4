// SPDX-License-Identifier: Apache-2.0
// What the mediator allocates and logs while it serves requests, counted in the real daemon by a preloaded
// allocator and by the size of its log.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/unique_fd.h"
#include "bench/figures/figures.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kRounds = 5;
constexpr uint64_t kSeed = 7;

// The words that count_allocations.c counts in.
class Counts {
 public:
  Counts() : file_(folder_ / "counts") {
    const base::UniqueFd fd(open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    void* memory = MAP_FAILED;
    if (fd && ftruncate(fd.get(), kBytes) == 0)
      memory = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    words_ = memory == MAP_FAILED ? nullptr : static_cast<const uint64_t*>(memory);
  }
  ~Counts() {
    if (words_ != nullptr) munmap(const_cast<uint64_t*>(words_), kBytes);
  }
  const std::string& file() const { return file_; }
  // Allocations and frees so far.
  uint64_t Now() const {
    return __atomic_load_n(words_, __ATOMIC_RELAXED) + __atomic_load_n(words_ + 1, __ATOMIC_RELAXED);
  }
  explicit operator bool() const { return words_ != nullptr; }

 private:
  static constexpr size_t kBytes = 2 * sizeof(uint64_t);
  const TempDir folder_;
  const std::string file_;
  const uint64_t* words_;
};

// Every way of serving: polled, deep, asleep and woken.
Answers MixedLoad(const Effort& effort, guest::Client& client, std::mt19937_64* random) {
  const uint64_t count = effort.quick ? 2'000 : 50'000;
  Answers answers = AskOneByOne(client, count);
  answers += AskDeep(client, count, 64);
  answers += AskAtRandom(client, 1000, std::chrono::milliseconds(effort.quick ? 100 : 500), random);
  return answers;
}

Figure Zero(const char* name, const char* title) {
  Figure figure;
  figure.name = name;
  figure.title = title;
  figure.gate = {0, Better::kLower, {}};
  return figure;
}

uint64_t Lines(const std::string& text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

Result<void> MeasureSteadyState(const Effort& effort, Results* results) {
  const auto shim = Runfile("bench/figures/libcount_allocations.so");
  if (!shim) return tl::make_unexpected(shim.error());
  const Counts counts;
  if (!counts) return tl::make_unexpected("cannot map a file for the counts");
  MediatorOptions options;
  options.environment = {"LD_PRELOAD=" + *shim, "VGPU_ALLOCATION_COUNTS=" + counts.file()};
  auto mediator = MediatorProcess::Start(options);
  if (!mediator) return tl::make_unexpected(mediator.error());
  if (counts.Now() == 0)
    return tl::make_unexpected("the mediator's allocator is not counted: is it linked statically?");
  auto client = OpenGuest(**mediator, {});
  if (!client) return tl::make_unexpected(client.error());
  Figure allocations = Zero("allocations", "allocations and frees per request after attach");
  Figure log_lines = Zero("log_lines", "log lines per request after attach");
  std::mt19937_64 random(kSeed);
  Answers answers;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const uint64_t lines = Lines((*mediator)->log());
    const uint64_t before = counts.Now();
    const Answers some = MixedLoad(effort, **client, &random);
    allocations.values.push_back(static_cast<double>(counts.Now() - before) /
                                 static_cast<double>(some.count));
    log_lines.values.push_back(static_cast<double>(Lines((*mediator)->log()) - lines) /
                               static_cast<double>(some.count));
    answers += some;
  }
  if (answers.wrong != 0) allocations.broken = fmt::format("{} wrong answers", answers.wrong);
  // A median of zero is not enough here.
  for (Figure* figure : {&allocations, &log_lines}) {
    if (figure->spread().max > 0)
      figure->broken = fmt::format("{:.2g} in the worst round", figure->spread().max);
  }
  allocations.note = fmt::format("{} requests: one by one, 64 deep, and at random times with a sleep between",
                                 answers.count);
  results->figures.push_back(allocations);
  results->figures.push_back(log_lines);
  return {};
}

}  // namespace vgpu::bench
