// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "bench/subjects/ours/guests.h"
#include "bench/subjects/ours/vector_load.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kRun = 1024;  // deep requests between two looks at the board
constexpr std::chrono::milliseconds kRestCheck{2};

// Looks for the longest time without an answer.
class GapWatch {
 public:
  explicit GapWatch(GuestPlace* place) : place_(place) {}
  void Answered() {
    const uint64_t since = place_->watch_since.load(std::memory_order_relaxed);
    if (since == 0) return;
    const uint64_t now = SteadyNs();
    if (since != since_) {
      since_ = since;
      longest_ = 0;
      last_ = std::max(last_, since);
    }
    if (last_ < place_->watch_until && now - last_ > longest_) {
      longest_ = now - last_;
      place_->gap_ns = longest_;
      place_->gap_end_ns = now;
    }
    last_ = now;
  }

 private:
  GuestPlace* const place_;
  uint64_t since_ = 0;
  uint64_t last_ = 0;
  uint64_t longest_ = 0;
};

// Does work(), again and again, while its place on the board says so, and at_rest() when it no longer does.
template <class Work, class AtRest>
[[noreturn]] void Obey(GuestPlace* place, Work work, AtRest at_rest) {
  place->ready = Ready::kYes;
  for (;;) {
    if (place->command == Command::kWork) {
      work();
    } else if (!place->resting) {
      at_rest();
      place->resting = true;
    } else {
      std::this_thread::sleep_for(kRestCheck);
    }
  }
}

void Count(GuestPlace* place, const Answers& answers) {
  place->answered.fetch_add(answers.count, std::memory_order_relaxed);
  if (answers.wrong != 0) place->wrong.fetch_add(answers.wrong, std::memory_order_relaxed);
}

guest::HostOptions OptionsOf(const Board& board, const GuestPlan& plan) {
  guest::HostOptions options;
  options.socket = board.socket;
  options.vm_id = plan.vm_id;
  options.priority = plan.priority;
  options.region_bytes = plan.region_bytes;
  return options;
}

[[noreturn]] void AskForAdds(const Board& board, GuestPlace* place) {
  const GuestPlan plan = place->plan;
  const auto deadline = guest::Clock::now() + kAnswerMax;
  auto transport = OrThrow(guest::HostTransport::Open(OptionsOf(board, plan), deadline));
  auto client = OrThrow(guest::Client::Open(std::move(transport), 0, deadline));
  Count(place, AskOneByOne(*client, 10));
  GapWatch watch(place);
  const auto work = [&] {
    Count(place, plan.depth == 1 ? AskOneByOne(*client, 1) : AskInRuns(*client, kRun, plan.depth));
    watch.Answered();
    if (plan.pause_us != 0) std::this_thread::sleep_for(std::chrono::microseconds(plan.pause_us));
  };
  Obey(place, work, [] {});
}

[[noreturn]] void AskForVectors(const Board& board, GuestPlace* place) {
  const auto load = OrThrow(VectorLoad::Open(OptionsOf(board, place->plan), place->plan.vector));
  const auto tell = [&] {
    place->answered = load->answered();
    place->wrong = load->wrong();
  };
  const auto drain = [&] {
    load->Drain();
    tell();
  };
  load->Step();
  drain();
  Obey(
      place, [&] { load->Step(), tell(); }, drain);
}

}  // namespace

int RunGuest(const std::string& board_file, uint32_t place_number) {
  const base::UniqueFd fd(open(board_file.c_str(), O_RDWR | O_CLOEXEC));
  const auto mapping = base::MapShared(fd.get(), sizeof(Board));
  if (!mapping || place_number >= kGuestsMax) return EXIT_FAILURE;
  Board* board = reinterpret_cast<Board*>(mapping->data());
  GuestPlace* place = &board->places[place_number];
  try {
    place->plan.vectors ? AskForVectors(*board, place) : AskForAdds(*board, place);
  } catch (const std::exception& error) {
    fmt::print(stderr, "guest {}: {}\n", place->plan.vm_id, error.what());
    place->ready = Ready::kFailed;
    return EXIT_FAILURE;
  }
}

}  // namespace vgpu::bench
