// SPDX-License-Identifier: Apache-2.0
// A guest that does nothing wrong: one ADD, or one small vector, each period, however late answers are (open
// loop). Every latency counts from when the request was due.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "bench/interference/owner.h"
#include "bench/interference/record.h"

namespace vgpu::bench::interference {
namespace {

constexpr int64_t kSpinNs = 25'000;   // how long it looks before it sleeps
constexpr int64_t kBlindNs = 50'000;  // later than this by itself: somebody else has the processor
constexpr int64_t kLastWaitNs = 2'000'000'000;

// The clock, and how long this process did not run although it should have.
class Watch {
 public:
  // `awake_ns`: when it was to run again, if it slept.
  int64_t Check(int64_t awake_ns = 0) {
    const int64_t now = NowNs(), expected = std::max(awake_ns, last_ns_);
    if (now - expected > kBlindNs) {
      blind_ns_ += now - expected;
      from_ns_ = expected;
      to_ns_ = now;
    }
    return last_ns_ = now;
  }
  void Begin() { last_ns_ = NowNs(); }
  // All blind time until `at`, which does not lie before the last blind time but one.
  int64_t BlindUntil(int64_t at) const {
    return to_ns_ > at ? blind_ns_ - (to_ns_ - std::max(from_ns_, at)) : blind_ns_;
  }

 private:
  int64_t last_ns_ = 0, blind_ns_ = 0, from_ns_ = 0, to_ns_ = 0;
};

class RecordWriter {
 public:
  RecordWriter(const char* file, uint64_t room) {
    const UniqueFd fd(open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ftruncate(fd.get(), static_cast<off_t>(RecordFileBytes(room))) != 0) Die("%s", file);
    header_ = reinterpret_cast<RecordHeader*>(Map(fd.get(), RecordFileBytes(room)));
    header_->room = room;
  }
  void Write(const Record& record) {
    const uint64_t count = header_->count.load(std::memory_order_relaxed);
    if (count == header_->room) Die("more answers than there is room for");
    reinterpret_cast<Record*>(header_ + 1)[count] = record;
    header_->count.store(count + 1, std::memory_order_release);
  }
  void Lost(uint64_t requests) { header_->lost = requests; }

 private:
  RecordHeader* header_;
};

class Victim {
 public:
  explicit Victim(const Args& args)
      : period_ns_(args.Number("--period_us", 200) * 1000),
        elements_(static_cast<uint64_t>(args.Number("--vector", 0))),
        vm_(OptionsOf(args)),
        writer_(args.Text("--out", "innocent.records"),
                static_cast<uint64_t>(args.Number("--room", 1 << 20))),
        sent_(vm_.options().entries) {
    if (!vm_.Attach(args.socket())) Die("an innocent was refused: %s", vm_.error().c_str());
    if (!vm_.OpenAll()) Die("an innocent's ring does not open");
    FillVectors();
  }

  void Run() {
    watch_.Begin();
    next_ns_ = NowNs() + period_ns_;
    while (!g_stop) {
      SendWhatIsDue();
      AnswersUntil(next_ns_);
      if (producer().full() && NowNs() >= next_ns_)
        SleepNs(100'000);  // what is due is sent later, and counts from then
    }
    AnswersUntil(NowNs() + kLastWaitNs);
    writer_.Lost(producer().outstanding());
  }

 private:
  struct Sent {
    int64_t due_ns = 0;
    int64_t blind_before_ns = 0;
  };

  static VmOptions OptionsOf(const Args& args) {
    VmOptions options = args.Vm(1, 4096, 4 << 20);
    options.name = "innocent";
    return options;
  }
  Producer<RealMemory>& producer() { return vm_.producer(0); }
  Sent& sent(uint32_t idx) { return sent_[idx & (vm_.options().entries - 1)]; }

  // Every vector has the same operands; of the result two elements are looked at,
  // so that checking takes no time.
  void FillVectors() {
    auto* words = reinterpret_cast<uint32_t*>(vm_.arena(0));
    for (uint64_t i = 0; i < elements_; ++i) {
      words[i] = static_cast<uint32_t>(i);
      words[elements_ + i] = static_cast<uint32_t>(3 * i);
    }
  }

  void SendWhatIsDue() {
    const int64_t now = watch_.Check(next_ns_);
    bool any = false;
    for (; now >= next_ns_ && !producer().full(); next_ns_ += period_ns_, any = true) {
      const uint64_t bytes = elements_ * sizeof(uint32_t);
      const uint32_t n = producer().prod();
      const uint32_t idx =
          elements_ != 0 ? vm_.AddVectors(0, elements_, 0, bytes, 2 * bytes) : vm_.Add(0, n, n * 7);
      sent(idx) = {next_ns_, watch_.BlindUntil(next_ns_)};
    }
    if (any) vm_.Flush(0);
  }

  // Takes answers until `end_ns`, and sleeps if none comes for a while.
  void AnswersUntil(int64_t end_ns) {
    int64_t spin_from_ns = NowNs();
    while (true) {
      const int64_t now = watch_.Check();
      if (TakeOne(now)) {
        spin_from_ns = now;
      } else if (now >= end_ns || (g_stop && producer().outstanding() == 0)) {
        return;
      } else if (producer().outstanding() == 0) {
        const timespec at{end_ns / 1'000'000'000, end_ns % 1'000'000'000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
        watch_.Check(end_ns);
        return;
      } else if (now - spin_from_ns < kSpinNs) {
        __builtin_ia32_pause();
      } else if (producer().ArmCall()) {
        SleepUntilCalled(end_ns);
        spin_from_ns = NowNs() - kSpinNs;  // one look, and back to sleep
      }
    }
  }

  bool TakeOne(int64_t now) {
    const uint32_t idx = producer().oldest();
    ring::Answer answer;
    if (producer().outstanding() == 0 || !producer().Take(idx, &answer)) return false;
    const Sent& request = sent(idx);
    const int64_t blind_ns = watch_.BlindUntil(now) - request.blind_before_ns;
    writer_.Write({request.due_ns, now - request.due_ns, static_cast<uint32_t>(blind_ns / 1000),
                   answer.code | (Right(idx, answer) ? 0 : kWrongResult)});
    return true;
  }

  bool Right(uint32_t idx, const ring::Answer& answer) const {
    if (elements_ == 0) return answer.data == idx * 8;
    const auto* sum = reinterpret_cast<const uint32_t*>(vm_.arena(0)) + 2 * elements_;
    return sum[0] == 0 && sum[elements_ - 1] == static_cast<uint32_t>(4 * (elements_ - 1));
  }

  void SleepUntilCalled(int64_t end_ns) {
    const int64_t left_ns = std::max<int64_t>(0, end_ns - NowNs());
    const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
    pollfd wait{vm_.call(0), POLLIN, 0};
    ppoll(&wait, 1, &left, nullptr);
    uint64_t calls = 0;
    [[maybe_unused]] const ssize_t got = read(vm_.call(0), &calls, sizeof calls);
    producer().DisarmCall();
    watch_.Check(end_ns);
  }

  const int64_t period_ns_;
  const uint64_t elements_;
  Vm vm_;
  RecordWriter writer_;
  std::vector<Sent> sent_;  // by slot
  Watch watch_;
  int64_t next_ns_ = 0;
};

// Its processor is shared with the aggressor, whose use of it is not what is measured.
void RunBeforeOthers() {
  const sched_param priority{.sched_priority = 20};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) {
    Say("not permitted to run before others (SCHED_FIFO): expect noise");
  }
  prctl(PR_SET_TIMERSLACK, 1);
}

}  // namespace
}  // namespace vgpu::bench::interference

int main(int argc, char** argv) {
  using namespace vgpu::bench::interference;
  BeginProgram();
  const Args args(argc, argv);
  Victim victim(args);
  RunBeforeOthers();
  Ready();
  victim.Run();
  return 0;
}
