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
constexpr std::chrono::milliseconds kRestLook{2};

// Looks for the longest time without an answer.
class GapWatch {
 public:
  explicit GapWatch(Seat* seat) : seat_(seat) {}
  void Answered() {
    const uint64_t since = seat_->watch_since.load(std::memory_order_relaxed);
    if (since == 0) return;
    const uint64_t now = SteadyNs();
    if (since != since_) {
      since_ = since;
      longest_ = 0;
      last_ = std::max(last_, since);
    }
    if (last_ < seat_->watch_until && now - last_ > longest_) {
      longest_ = now - last_;
      seat_->gap_ns = longest_;
      seat_->gap_end_ns = now;
    }
    last_ = now;
  }

 private:
  Seat* const seat_;
  uint64_t since_ = 0;
  uint64_t last_ = 0;
  uint64_t longest_ = 0;
};

// Does work(), again and again, while the seat says so, and at_rest() when it no longer does.
template <class Work, class AtRest>
[[noreturn]] void Obey(Seat* seat, Work work, AtRest at_rest) {
  seat->ready = Ready::kYes;
  for (;;) {
    if (seat->command == Command::kWork) {
      work();
    } else if (!seat->resting) {
      at_rest();
      seat->resting = true;
    } else {
      std::this_thread::sleep_for(kRestLook);
    }
  }
}

void Count(Seat* seat, const Answers& answers) {
  seat->answered.fetch_add(answers.count, std::memory_order_relaxed);
  if (answers.wrong != 0) seat->wrong.fetch_add(answers.wrong, std::memory_order_relaxed);
}

guest::HostOptions OptionsOf(const Board& board, const GuestPlan& plan) {
  guest::HostOptions options;
  options.socket = board.socket;
  options.vm_id = plan.vm_id;
  options.priority = plan.priority;
  options.region_bytes = plan.region_bytes;
  return options;
}

[[noreturn]] void AskForAdds(const Board& board, Seat* seat) {
  const GuestPlan plan = seat->plan;
  const auto deadline = guest::Clock::now() + kAnswerMax;
  auto transport = OrThrow(guest::HostTransport::Open(OptionsOf(board, plan), deadline));
  auto client = OrThrow(guest::Client::Open(std::move(transport), 0, deadline));
  Count(seat, AskOneByOne(*client, 10));
  GapWatch watch(seat);
  const auto work = [&] {
    Count(seat, plan.depth == 1 ? AskOneByOne(*client, 1) : AskInRuns(*client, kRun, plan.depth));
    watch.Answered();
    if (plan.pause_us != 0) std::this_thread::sleep_for(std::chrono::microseconds(plan.pause_us));
  };
  Obey(seat, work, [] {});
}

[[noreturn]] void AskForVectors(const Board& board, Seat* seat) {
  const auto load = OrThrow(VectorLoad::Open(OptionsOf(board, seat->plan), seat->plan.vector));
  const auto tell = [&] {
    seat->answered = load->answered();
    seat->wrong = load->wrong();
  };
  const auto drain = [&] {
    load->Drain();
    tell();
  };
  load->Step();
  drain();
  Obey(seat, [&] { load->Step(), tell(); }, drain);
}

}  // namespace

int RunGuest(const std::string& board_file, uint32_t seat_number) {
  const base::UniqueFd fd(open(board_file.c_str(), O_RDWR | O_CLOEXEC));
  const auto mapping = base::MapShared(fd.get(), sizeof(Board));
  if (!mapping || seat_number >= kGuestsMax) return EXIT_FAILURE;
  Board* board = reinterpret_cast<Board*>(mapping->data());
  Seat* seat = &board->seats[seat_number];
  try {
    seat->plan.vectors ? AskForVectors(*board, seat) : AskForAdds(*board, seat);
  } catch (const std::exception& error) {
    fmt::print(stderr, "guest {}: {}\n", seat->plan.vm_id, error.what());
    seat->ready = Ready::kFailed;
    return EXIT_FAILURE;
  }
}

}  // namespace vgpu::bench
