// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/native/neighbour.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "bench/subjects/native/lab.h"
#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

constexpr std::chrono::seconds kBeginMax{60};
constexpr std::chrono::milliseconds kCheckEvery{2};
constexpr size_t kFileBytes = 4096;

[[noreturn]] void UntilKilled() {
  for (;;) pause();
}

}  // namespace

Result<std::unique_ptr<Neighbour>> Neighbour::Start(bool cuda) {
  std::unique_ptr<Neighbour> neighbour(new Neighbour);
  const std::string file = neighbour->folder_ / "launches";
  const base::UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || ftruncate(fd.get(), kFileBytes) != 0)
    return tl::make_unexpected("cannot make the neighbour's file");
  auto mapping = base::MapShared(fd.get(), kFileBytes);
  if (!mapping) return tl::make_unexpected(mapping.error());
  neighbour->mapping_ = std::move(*mapping);
  neighbour->launches_ = new (neighbour->mapping_.data()) std::atomic<uint64_t>(0);
  std::vector<std::string> argv = {"/proc/self/exe", "neighbour", "--file", file};
  if (!cuda) argv.push_back("--rehearse");
  SpawnOptions spawn;
  spawn.cpu = kElsewhere;
  spawn.err = "/dev/stderr";
  auto child = Spawn(argv, spawn);
  if (!child) return tl::make_unexpected(child.error());
  neighbour->child_ = std::move(*child);
  if (const auto begun = neighbour->AwaitBegin(); !begun) return tl::make_unexpected(begun.error());
  return neighbour;
}

void Neighbour::BeginKill() { child_.Signal(SIGKILL); }

Result<void> Neighbour::AwaitBegin() {
  const auto deadline = std::chrono::steady_clock::now() + kBeginMax;
  while (launches() == 0) {
    if (gone()) return tl::make_unexpected("the other process ended before it used the GPU");
    if (std::chrono::steady_clock::now() > deadline) {
      return tl::make_unexpected("the GPU did nothing for the other process in time");
    }
    std::this_thread::sleep_for(kCheckEvery);
  }
  return {};
}

int RunNeighbour(const std::string& file, bool cuda) {
  const base::UniqueFd fd(open(file.c_str(), O_RDWR | O_CLOEXEC));
  const auto mapping = base::MapShared(fd.get(), kFileBytes);
  if (!mapping) return EXIT_FAILURE;
  auto* launches = reinterpret_cast<std::atomic<uint64_t>*>(mapping->data());
  if (!cuda) {
    *launches = 1;
    UntilKilled();
  }
  const auto lab = Lab::Open(0);
  if (!lab) {
    fmt::print(stderr, "neighbour: {}\n", lab.error());
    return EXIT_FAILURE;
  }
  const Flood flood(lab->get(), launches);
  UntilKilled();
}

}  // namespace vgpu::bench
