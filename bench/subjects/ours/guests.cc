// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/guests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <new>
#include <thread>

#include "base/mapping.h"
#include "base/unique_fd.h"

namespace vgpu::bench {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kAttachMax{60};
constexpr milliseconds kCheckEvery{2};

}  // namespace

Result<std::unique_ptr<Guests>> Guests::Start(const MediatorProcess& mediator,
                                              const std::vector<GuestPlan>& plans) {
  std::unique_ptr<Guests> guests(new Guests);
  const std::string file = guests->folder_ / "board";
  const base::UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || ftruncate(fd.get(), sizeof(Board)) != 0)
    return tl::make_unexpected("cannot make the guests' file");
  auto mapping = base::MapShared(fd.get(), sizeof(Board));
  if (!mapping) return tl::make_unexpected(mapping.error());
  guests->mapping_ = std::move(*mapping);
  guests->board_ = new (guests->mapping_.data()) Board;
  mediator.socket().copy(guests->board_->socket, sizeof guests->board_->socket - 1);
  SpawnOptions spawn;
  spawn.cpu = kElsewhere;
  spawn.err = "/dev/stderr";
  for (size_t i = 0; i < plans.size(); ++i) {
    guests->place(i).plan = plans[i];
    auto child = Spawn({"/proc/self/exe", "guest", "--board", file, "--seat", std::to_string(i)}, spawn);
    if (!child) return tl::make_unexpected(child.error());
    guests->children_.push_back(std::move(*child));
  }
  const auto ready = guests->AwaitAll([](const GuestPlace& place) { return place.ready == Ready::kYes; },
                                      "attached in time");
  if (!ready) return tl::make_unexpected(ready.error());
  return guests;
}

Guests::~Guests() {
  for (Child& child : children_) child.Kill();
}

void Guests::Work(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    place(i).command = Command::kWork;
    place(i).resting = false;  // not before: it would say at once that it rests
  }
}

Result<void> Guests::Rest() {
  for (size_t i = 0; i < size(); ++i) place(i).command = Command::kRest;
  return AwaitAll([](const GuestPlace& place) { return place.resting.load(); }, "answered in time");
}

Answers Guests::Total() const {
  Answers total;
  for (size_t i = 0; i < size(); ++i) total += {place(i).answered, place(i).wrong};
  return total;
}

Result<void> Guests::AwaitAll(bool (*done)(const GuestPlace&), const char* what) const {
  const auto deadline = guest::Clock::now() + kAttachMax;
  for (size_t i = 0; i < size(); ++i) {
    while (!done(place(i))) {
      if (place(i).ready == Ready::kFailed) return tl::make_unexpected(fmt::format("guest {} failed", i));
      if (guest::Clock::now() > deadline)
        return tl::make_unexpected(fmt::format("guest {} was not {}", i, what));
      std::this_thread::sleep_for(kCheckEvery);
    }
  }
  return {};
}

}  // namespace vgpu::bench
