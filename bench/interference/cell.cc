// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <thread>

namespace vgpu::bench::interference {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kCheckEvery{10};
constexpr milliseconds kSettle{300};
constexpr seconds kHeldAfter{1};    // what is held so long after its owners were killed is held too long
constexpr seconds kCatchUpMax{60};  // a victim that waits longer has been forgotten
constexpr size_t kSaysMax = 6;

struct VictimFlags {
  const char* name;
  int64_t period_us;
  std::vector<std::string> flags;
};
const std::vector<VictimFlags>& AllVictims() {
  static const std::vector<VictimFlags> kAll = {
      {kVictims[0], 200, {"--vm", "1", "--priority", "2"}},
      {kVictims[1], 250, {"--vm", "2", "--priority", "1"}},
      {kVictims[2], 2000, {"--vm", "3", "--priority", "1", "--vector", "32768"}},
  };
  return kAll;
}

std::vector<std::string> Split(const char* command) {
  std::istringstream words(command);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  return all;
}

class Measurement {
 public:
  Measurement(const Case& attack, const Settings& settings, Cell* cell)
      : attack_(attack), settings_(settings), cell_(cell), folder_("/dev/shm") {}

  Result<void> Run() {
    auto begun = Begin();
    for (uint32_t i = 0; begun && i < settings_.intervals; ++i) begun = Round();
    Finish();
    return begun;
  }

 private:
  Result<void> Begin() {
    auto mediator = Mediator::Start(settings_.mediator, settings_.config, folder_ / "", settings_.pinned);
    if (!mediator) return tl::make_unexpected(mediator.error());
    mediator_ = std::move(*mediator);
    for (const VictimFlags& each : AllVictims()) {
      std::vector<std::string> flags = each.flags;
      flags.insert(flags.end(), {"--period_us", std::to_string(each.period_us)});
      auto victim = Victim::Start(each.name, flags, *mediator_, folder_ / "", RoomFor(each));
      if (!victim) return tl::make_unexpected(victim.error());
      victims_.push_back(std::move(*victim));
    }
    before_ = mediator_->held();
    return Settle();
  }

  // Answers that a victim may write down: of three intervals a round, and of all that lies between them.
  uint64_t RoomFor(const VictimFlags& victim) const {
    constexpr double kBetweenMax = 200;  // seconds a round
    const double most_seconds = settings_.intervals * (3 * settings_.seconds + kBetweenMax);
    return static_cast<uint64_t>(most_seconds * 1e6 / static_cast<double>(victim.period_us));
  }

  Result<void> Round() {
    cell_->ring_cpu_baseline.push_back(CpuOf([&] { Wait(&baseline_); }));
    if (attack_.kind == Kind::kGuest) {
      const std::string nops = fmt::format("flood --vm 900 --nops 1 --priority {}", attack_.priority);
      if (auto beside = Beside({nops.c_str()}, &nops_); !beside) return beside;
    }
    std::vector<std::string> commands;
    for (const char* command : attack_.commands) {
      commands.push_back(attack_.kind == Kind::kGuest
                             ? fmt::format("{} --priority {}", command, attack_.priority)
                             : command);
    }
    return Beside(commands, &beside_);
  }

  // An interval beside these aggressors.
  Result<void> Beside(const std::vector<std::string>& commands, std::vector<Interval>* intervals) {
    const bool is_attack = intervals == &beside_;
    if (is_attack && attack_.extra == Extra::kPausedLog) mediator_->log().Pause(true);
    std::vector<std::unique_ptr<Program>> aggressors;
    auto result = Start(commands, &aggressors);
    if (result) {
      const double cpu = CpuOf([&] { Wait(intervals); });
      if (is_attack) cell_->ring_cpu_beside.push_back(cpu);
    }
    mediator_->pinning().Check();
    mediator_->log().Pause(false);  // an aggressor may wait for a mediator that waits for its log
    End(&aggressors, is_attack);
    if (!result) return result;
    return is_attack ? AfterAttack() : CatchUp();
  }

  Result<void> AfterAttack() {
    const bool gated = attack_.extra == Extra::kKilled;
    if (gated) {
      std::this_thread::sleep_for(kHeldAfter);
      CheckWhatIsHeld();
    }
    auto settled = Settle();
    if (!gated) CheckWhatIsHeld();
    return settled;
  }

  Result<void> Start(const std::vector<std::string>& commands,
                     std::vector<std::unique_ptr<Program>>* aggressors) {
    const auto binary = Runfile("bench/interference/attack");
    if (!binary) return tl::make_unexpected(binary.error());
    for (const std::string& command : commands) {
      std::vector<std::string> argv = Split(command.c_str());
      argv.insert(argv.begin(), *binary);
      argv.insert(argv.end(), {"--socket", mediator_->socket(), "--folder", folder_ / "", "--seed",
                               std::to_string(settings_.seed + beside_.size())});
      auto program = Program::Start(argv);
      if (!program) return tl::make_unexpected(program.error());
      aggressors->push_back(std::move(*program));
    }
    for (const auto& aggressor : *aggressors) {
      if (auto ready = aggressor->AwaitReady(); !ready)
        return tl::make_unexpected("the attack: " + ready.error());
    }
    return {};
  }

  void End(std::vector<std::unique_ptr<Program>>* aggressors, bool is_attack) {
    for (const auto& aggressor : *aggressors) {
      if (is_attack && !aggressor->running()) ++cell_->ended_early;
      attack_.extra == Extra::kKilled ? aggressor->Kill() : aggressor->Stop();
      if (!is_attack) continue;
      cell_->says.insert(cell_->says.end(), aggressor->lines().begin(), aggressor->lines().end());
      if (cell_->says.size() > kSaysMax) cell_->says.erase(cell_->says.begin(), cell_->says.end() - kSaysMax);
    }
    aggressors->clear();
  }

  void Wait(std::vector<Interval>* intervals) const {
    const int64_t begin_ns = NowNs();
    std::this_thread::sleep_for(std::chrono::duration<double>(settings_.seconds));
    intervals->push_back({begin_ns, NowNs()});
  }

  // Of the ring thread meanwhile, in per cent of a processor.
  template <class Act>
  double CpuOf(const Act& act) const {
    const uint64_t before_ns = mediator_->pinning().ring_cpu_ns();
    const int64_t begin_ns = NowNs();
    act();
    const auto used_ns = static_cast<double>(mediator_->pinning().ring_cpu_ns() - before_ns);
    return 100 * used_ns / static_cast<double>(NowNs() - begin_ns);
  }

  void CheckWhatIsHeld() {
    Held held = mediator_->held();
    held.all_descriptors -= std::min(held.all_descriptors, before_.all_descriptors);
    cell_->held.push_back(held);
  }

  // Until the victims are served again; what an attack leaves behind is not the next interval's.
  Result<void> CatchUp() {
    const auto deadline = Clock::now() + kCatchUpMax;
    for (const auto& victim : victims_) {
      while (!victim->caught_up()) {
        if (!mediator_->running()) return tl::make_unexpected("the mediator has ended: " + LastLines());
        if (!victim->running()) {
          return tl::make_unexpected(fmt::format("innocent {} has ended: {}", victim->name(),
                                                 fmt::format("{}", fmt::join(victim->lines(), " | "))));
        }
        if (Clock::now() > deadline) {
          return tl::make_unexpected(fmt::format("innocent {} is not served any more", victim->name()));
        }
        std::this_thread::sleep_for(kCheckEvery);
      }
    }
    return {};
  }

  // The same, and a while longer.
  Result<void> Settle() {
    if (const auto served = CatchUp(); !served) return served;
    std::this_thread::sleep_for(kSettle);
    return {};
  }

  std::string LastLines() const {
    constexpr size_t kBytes = 1000;
    const std::string tail = mediator_->log().tail();
    return tail.size() > kBytes ? tail.substr(tail.size() - kBytes) : tail;
  }

  void Finish() {
    for (const auto& victim : victims_) {
      victim->Stop();
      const auto records = victim->records();
      cell_->victims.push_back({victim->name(), Summarise(records, baseline_), Summarise(records, nops_),
                                Summarise(records, beside_), victim->lost()});
    }
    if (mediator_ == nullptr) return;
    cell_->log_bytes = mediator_->log().bytes();
    cell_->threads = mediator_->pinning().ToJson();
    cell_->strays = mediator_->pinning().strays();
  }

  const Case& attack_;
  const Settings& settings_;
  Cell* const cell_;
  const TempDir folder_;  // in memory: nobody waits for a disk
  std::unique_ptr<Mediator> mediator_;
  std::vector<std::unique_ptr<Victim>> victims_;
  Held before_;
  std::vector<Interval> baseline_, nops_, beside_;
};

}  // namespace

const Noticed* Cell::victim(const std::string& name) const {
  const auto at =
      std::find_if(victims.begin(), victims.end(), [&](const auto& each) { return each.name == name; });
  return at == victims.end() ? nullptr : &*at;
}

uint64_t Cell::errors() const {
  uint64_t errors = 0;
  for (const Noticed& victim : victims) errors += victim.beside.wrong + victim.lost;
  return errors;
}

Cell Measure(const Case& attack, const Settings& settings) {
  Cell cell;
  cell.attack = &attack;
  if (const auto why = CannotRun(attack)) {
    cell.skipped = *why;
    return cell;
  }
  try {
    if (const auto measured = Measurement(attack, settings, &cell).Run(); !measured)
      cell.broken = measured.error();
  } catch (const std::exception& error) {
    cell.broken = error.what();
  }
  return cell;
}

}  // namespace vgpu::bench::interference
