// SPDX-License-Identifier: Apache-2.0
#include "guest/ping.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "api/codes.h"
#include "base/histogram_json.h"
#include "base/json_text.h"
#include "base/ticks.h"
#include "guest/cli.h"
#include "guest/interrupt.h"

namespace vgpu::guest {
namespace {

// One run of a plan: a window of outstanding requests, oldest first,
// all of it allocated before the first request.
class PingRun {
 public:
  PingRun(Client& client, const PingPlan& plan)
      : client_(client),
        plan_(plan),
        random_(plan.seed),
        outstanding_(plan.depth),
        slack_(plan.timeout / 8),
        time_max_ns_(static_cast<uint64_t>(plan.time_max.count())),
        to_send_(plan.count) {}

  Result<PingResult> Run() {
    const TimePoint begin = Clock::now();
    const uint64_t began = ticks_.Now();
    const uint64_t sleeps = client_.sleeps();
    const uint64_t kicks = client_.kicks();
    while (taken_ < to_send_) {
      if (Stopped()) break;
      Fill();
      CheckClock();
      if (const auto taken = TakeAnswers(); !taken) {
        if (Stopped()) break;
        if (taken_ == 0) return tl::make_unexpected(taken.error());
        result_.error = taken.error();
        break;
      }
      if (time_max_ns_ > 0 && ticks_.Ns(ticks_.Now() - began) >= time_max_ns_) to_send_ = sent_;
      if (plan_.think.count() > 0) Think();
    }
    result_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    result_.sleeps = client_.sleeps() - sleeps;
    result_.kicks = client_.kicks() - kicks;
    result_.interrupted = taken_ < to_send_ && !result_.error;
    return result_;
  }

 private:
  struct Sent {
    uint32_t idx;
    int32_t expected;
    uint64_t begin;
  };

  bool Stopped() const { return plan_.stop != nullptr && plan_.stop->load(); }

  Sent& Oldest() { return outstanding_[taken_ % plan_.depth]; }

  void Fill() {
    while (sent_ < to_send_ && sent_ - taken_ < plan_.depth && client_.CanSubmit()) {
      const uint64_t bits = random_.Next();
      const auto a = static_cast<int32_t>(bits);
      const auto b = static_cast<int32_t>(bits >> 32);
      Sent& sent = outstanding_[sent_++ % plan_.depth];
      sent.expected = WrappingSum(a, b);
      sent.begin = ticks_.Now();
      sent.idx = client_.Add(a, b);
    }
    client_.Flush();
  }

  // Those that are there; waits for the first.
  Result<void> TakeAnswers() {
    const auto answer = client_.Wait(Oldest().idx, deadline_, plan_.stop);
    if (!answer) return tl::make_unexpected(answer.error());
    Answer next = *answer;
    do {
      if (next.code != VGPU_OK) return tl::make_unexpected(Refused(next.code));
      Account(next);
    } while (taken_ < sent_ && client_.Poll(Oldest().idx, &next));
    return {};
  }

  void Account(const Answer& answer) {
    const Sent& sent = Oldest();
    result_.latency_ns.Record(ticks_.Ns(ticks_.Now() - sent.begin));
    if (static_cast<int32_t>(answer.data) != sent.expected) ++result_.wrong;
    ++taken_;
  }

  // The system's clock is slow in some VMs: it is read once in an eighth of the timeout,
  // not for every request.
  void CheckClock() {
    const uint64_t now = ticks_.Now();
    if (plan_.progress != nullptr && ticks_.Ns(now - shown_) >= Progress::kEveryNs) {
      shown_ = now;
      plan_.progress->Show(taken_, plan_.count, result_.wrong);
    }
    if (deadline_ != TimePoint() && ticks_.Ns(now - renewed_) < static_cast<uint64_t>(slack_.count())) return;
    renewed_ = now;
    deadline_ = Clock::now() + plan_.timeout + slack_;
  }

  void Think() const {
    const timespec time = {static_cast<time_t>(plan_.think.count() / 1'000'000'000),
                           plan_.think.count() % 1'000'000'000};
    nanosleep(&time, nullptr);
  }

  Client& client_;
  const PingPlan plan_;
  const base::Ticks ticks_;
  Random random_;
  std::vector<Sent> outstanding_;
  const std::chrono::nanoseconds slack_;
  const uint64_t time_max_ns_;
  TimePoint deadline_;
  uint64_t renewed_ = 0;
  uint64_t shown_ = ticks_.Now();
  uint64_t to_send_;
  uint64_t sent_ = 0;
  uint64_t taken_ = 0;
  PingResult result_;
};

End EndOf(const PingResult& result) { return {result.interrupted, result.error}; }

nlohmann::json PingJson(const PingPlan& plan, const PingResult& result) {
  nlohmann::json json = {{"count", result.latency_ns.count()},
                         {"depth", plan.depth},
                         {"wrong", result.wrong},
                         {"seconds", result.seconds},
                         {"rate", result.rate()},
                         {"sleeps", result.sleeps},
                         {"kicks", result.kicks},
                         {"seed", plan.seed},
                         {"latency", base::LatencyJson(result.latency_ns)}};
  EndOf(result).AddTo(&json);
  return json;
}

}  // namespace

Result<PingResult> Ping(Client& client, const PingPlan& plan) {
  if (plan.depth < 1 || plan.depth > client.entries()) {
    return Fail(VGPU_ERR_BAD_ARGUMENT, fmt::format("a depth of {} is impossible: this ring has {} entries",
                                                   plan.depth, client.entries()));
  }
  return PingRun(client, plan).Run();
}

int RunPing(const Options& options, const PingArgs& args) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  const Interrupt interrupt;
  Progress progress("ping");
  const PingPlan plan = {args.count,        args.depth,         std::chrono::microseconds(args.think_us),
                         options.timeout(), SeedOf(args.seed),  Nanoseconds(args.seconds),
                         interrupt.flag(),  progress.if_shown()};
  auto result = Ping(**client, plan);
  if (!result) return Report(options, result.error());
  if (options.json) {
    cli::PrintJson(PingJson(plan, *result));
  } else {
    cli::Print(
        "{} requests, depth {}, {} wrong, seed {}{}\n{}\n{:.0f} requests a second, {} kicks, {} sleeps\n",
        result->latency_ns.count(), plan.depth, result->wrong, plan.seed, EndOf(*result).text(),
        LatencyText(result->latency_ns), result->rate(), result->kicks, result->sleeps);
  }
  return Finish(EndOf(*result), result->latency_ns.count(), result->wrong);
}

}  // namespace vgpu::guest
