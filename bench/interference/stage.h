// SPDX-License-Identifier: Apache-2.0
// The processes of a cell: the mediator and where its threads run, the victims, the aggressors.
#ifndef VGPU_BENCH_INTERFERENCE_STAGE_H_
#define VGPU_BENCH_INTERFERENCE_STAGE_H_

#include <sys/types.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/mapping.h"
#include "bench/interference/owner.h"
#include "bench/interference/record.h"
#include "bench/interference/samples.h"
#include "bench/lib/process.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench::interference {

// The mediator's ring thread has a processor for itself; everybody else shares the other one.
inline constexpr int kRingCpu = 0;
inline constexpr int kOthersCpu = 1;

// Runs this process, and what it starts, on the others' processor (if `pinned`),
// but for mediators. Call it first.
Result<void> TakeOthersCpu(bool pinned);

// Binds the threads of a mediator and its children, again and again: threads are made during an attack, and
// begin where their maker runs.
class Pinning {
 public:
  Pinning(pid_t mediator, bool pinned);
  ~Pinning();
  Pinning(const Pinning&) = delete;
  Pinning& operator=(const Pinning&) = delete;

  void Check();
  // What the ring thread has computed so far.
  uint64_t ring_cpu_ns() const;
  // By name: how many threads there were, where they might run when they were first seen, and where they may
  // run now.
  nlohmann::json ToJson();
  // How often a thread that is not the ring's was found allowed on its processor, after the start.
  uint64_t strays();

 private:
  struct Thread {
    std::string name, found_on, runs_on;
  };
  void CheckThread(pid_t thread);

  const pid_t mediator_;
  const bool pinned_;
  std::mutex mutex_;
  std::map<pid_t, Thread> threads_;
  std::atomic<pid_t> ring_thread_{0};
  bool started_ = false;
  uint64_t strays_ = 0;
  std::atomic<bool> stop_{false};
  std::thread keeper_;
};

// Reads the mediator's log from a pipe, as a service manager does; it can pause.
class LogReader {
 public:
  explicit LogReader(const std::string& fifo);
  ~LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  void Pause(bool paused) { paused_ = paused; }
  uint64_t bytes() const { return bytes_; }
  // The end of what it said.
  std::string tail();

 private:
  void Read();

  const UniqueFd fd_;
  std::mutex mutex_;
  std::string tail_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> paused_{false}, stop_{false};
  std::thread thread_;
};

// What the mediator holds of the aggressors.
struct Held {
  uint64_t descriptors = 0;      // of aggressors' memory
  uint64_t mappings = 0;         // of it
  uint64_t all_descriptors = 0;  // of whatever kind
};

class Mediator {
 public:
  // Returns when it answers. `folder` is for its socket and its log.
  static Result<std::unique_ptr<Mediator>> Start(const std::string& binary, const std::string& config,
                                                 const std::string& folder, bool pinned);

  std::string socket() const { return folder_ + "/mediator.sock"; }
  bool running() { return child_.running(); }
  Pinning& pinning() { return *pinning_; }
  LogReader& log() { return *log_; }
  Held held() const;

 private:
  Mediator(const std::string& folder);

  const std::string folder_;
  std::unique_ptr<LogReader> log_;
  Child child_;
  std::unique_ptr<Pinning> pinning_;
};

// A program of ours, beside the mediator, whose lines are read.
class Program {
 public:
  static Result<std::unique_ptr<Program>> Start(const std::vector<std::string>& argv);
  // Until it says that it is in place. Its words, if it does not.
  Result<void> AwaitReady();
  bool running() { return child_.running(); }
  // Asks it to end, and kills it if it does not; or kills it at once.
  void Stop();
  void Kill();
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  Program() = default;
  bool ReadSome(int timeout_ms);

  Child child_;
  UniqueFd out_;
  std::string rest_;
  std::vector<std::string> lines_;
  bool ready_ = false;
};

// One victim: its program, and what it has written down.
class Victim {
 public:
  static Result<std::unique_ptr<Victim>> Start(const std::string& name, const std::vector<std::string>& flags,
                                               const Mediator& mediator, const std::string& folder,
                                               uint64_t room);
  const std::string& name() const { return name_; }
  std::span<const Record> records() const;
  // Has what was due until now been answered?
  bool caught_up() const;
  bool running() { return program_->running(); }
  void Stop() { program_->Stop(); }
  uint64_t lost() const { return header_->lost; }
  const std::vector<std::string>& lines() const { return program_->lines(); }

 private:
  Victim() = default;

  std::string name_;
  std::unique_ptr<Program> program_;
  base::Mapping mapping_;
  const RecordHeader* header_ = nullptr;
};

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_STAGE_H_
