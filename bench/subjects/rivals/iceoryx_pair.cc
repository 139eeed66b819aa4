// SPDX-License-Identifier: Apache-2.0
// A process registers with RouDi once and for all, and runs a thread of iceoryx's from then on. So the client
// is, like the server, a process of its own on the processor where this one asks otherwise; this one waits
// until its round is over.
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <iceoryx_hoofs/posix_wrapper/posix_access_rights.hpp>
#include <iceoryx_posh/iceoryx_posh_config.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <optional>
#include <stdexcept>

#include "base/unique_fd.h"
#include "bench/lib/janitor.h"
#include "bench/lib/payload.h"
#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kQueueMax = iox::MAX_SUBSCRIBER_QUEUE_CAPACITY;
// How often a waiting side asks whether the other one lives.
constexpr std::chrono::milliseconds kCheckEvery{100};

// Waits until `fd` is signalled; false if one of these processes ends before, or nothing happens for long.
template <class... Process>
bool AwaitSignal(int fd, Process*... processes) {
  constexpr std::chrono::seconds kMax{60};
  const auto deadline = std::chrono::steady_clock::now() + kMax;
  pollfd polled{fd, POLLIN, 0};
  while (poll(&polled, 1, static_cast<int>(kCheckEvery.count())) <= 0) {
    if (!(processes->running() && ...) || std::chrono::steady_clock::now() > deadline) return false;
  }
  eventfd_t count;
  return eventfd_read(fd, &count) == 0;
}

void HushLog() {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
}

// iceoryx's daemon, with pools that suffice for what is measured here.
class Roudi {
 public:
  Roudi() : ready_(eventfd(0, EFD_CLOEXEC)) {
    auto child = Fork(kElsewhere, [this] { Serve(); });
    if (!child) throw std::runtime_error(child.error());
    child_ = std::move(*child);
    if (!AwaitSignal(ready_.get(), &child_))
      throw std::runtime_error("RouDi does not start: does another one run on this machine?");
  }
  ~Roudi() {
    child_.Signal(SIGTERM);
    child_.Wait();
  }

  // One for all who are there at the same time.
  static std::shared_ptr<Roudi> Get() {
    static std::weak_ptr<Roudi> running;
    auto roudi = running.lock();
    if (roudi == nullptr) running = roudi = std::make_shared<Roudi>();
    return roudi;
  }

 private:
  void Serve() {
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // Fork's SIGKILL would leave its files in /dev/shm and /tmp
    HushLog();
    for (FILE* stream : {stdout, stderr}) {  // it tells how it starts
      [[maybe_unused]] const bool hushed = std::freopen("/dev/null", "w", stream) != nullptr;
    }
    iox::mepoo::MePooConfig pools;
    pools.addMemPool({sizeof(Message), 16384});
    for (const uint32_t bytes : {512u, 4096u, static_cast<uint32_t>(kPayloadBytesMax)})
      pools.addMemPool({bytes, 256});
    const auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess().getName();
    iox::RouDiConfig_t config;
    config.m_sharedMemorySegments.push_back({group, group, pools});
    iox::roudi::IceOryxRouDiComponents components(config);
    iox::roudi::RouDi roudi(
        components.rouDiMemoryManager, components.portManager,
        iox::roudi::RouDi::RoudiStartupParameters(iox::roudi::MonitoringMode::OFF, false));
    eventfd_write(ready_.get(), 1);
    int signal;
    sigwait(&end, &signal);
  }

  const base::UniqueFd ready_;
  Child child_;
};

// One side's end, in its process: publishes under one name and subscribes to the other.
class End {
 public:
  static constexpr const char* kName = "iceoryx";

  End(const std::string& exchange, const char* out, const char* in)
      : registered_(Register(exchange + out)),
        publisher_(Service(exchange, out)),
        subscriber_(Service(exchange, in), Options()) {
    while (!publisher_.hasSubscribers() ||
           subscriber_.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) {
      Relax();
    }
  }

  void* Loan(uint64_t bytes) {
    void* chunk = nullptr;
    publisher_.loan(static_cast<uint32_t>(bytes)).and_then([&](void* loaned) { chunk = loaned; });
    return chunk;
  }
  void Publish(void* chunk) { publisher_.publish(chunk); }
  // Null while there is none. Released by the caller.
  const void* Take() {
    const void* chunk = nullptr;
    subscriber_.take().and_then([&](const void* taken) { chunk = taken; });
    return chunk;
  }
  void Release(const void* chunk) { subscriber_.release(chunk); }

  // As a carrier (queue_pair.h).
  size_t SendRequests(const Message* messages, size_t n) { return Push(messages, n); }
  size_t TakeRequests(Message* messages, size_t n) { return Pop(messages, n); }
  size_t SendReplies(const Message* messages, size_t n) { return Push(messages, n); }
  size_t TakeReplies(Message* messages, size_t n) { return Pop(messages, n); }

 private:
  static bool Register(const std::string& name) {
    HushLog();
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
    return true;
  }
  static iox::capro::ServiceDescription Service(const std::string& exchange, const char* event) {
    using iox::capro::IdString_t;
    return {"vgpu-bench", IdString_t(iox::cxx::TruncateToCapacity, exchange),
            IdString_t(iox::cxx::TruncateToCapacity, event)};
  }
  static iox::popo::SubscriberOptions Options() {
    iox::popo::SubscriberOptions options;
    options.queueCapacity = kQueueMax;
    return options;
  }

  size_t Push(const Message* messages, size_t n) {
    size_t done = 0;
    for (; done < n; ++done) {
      void* chunk = Loan(sizeof(Message));
      if (chunk == nullptr) break;
      std::memcpy(chunk, &messages[done], sizeof(Message));
      Publish(chunk);
    }
    return done;
  }
  size_t Pop(Message* messages, size_t n) {
    size_t done = 0;
    for (; done < n; ++done) {
      const void* chunk = Take();
      if (chunk == nullptr) break;
      std::memcpy(&messages[done], chunk, sizeof(Message));
      Release(chunk);
    }
    return done;
  }

  const bool registered_;
  iox::popo::UntypedPublisher publisher_;
  iox::popo::UntypedSubscriber subscriber_;
};

// What a process of this name leaves in /tmp if it is killed; as ours always are.
class Remains {
 public:
  explicit Remains(const std::string& process) : files_{"/tmp/" + process, "/tmp/" + process + ".lock"} {
    for (const std::string& file : files_) RemoveAtEnd(file);
  }
  ~Remains() {
    for (const std::string& file : files_) unlink(file.c_str());
  }

 private:
  const std::array<std::string, 2> files_;
};

class IceoryxPair final : public Contestant {
 public:
  explicit IceoryxPair(const PairPlan& plan)
      : plan_(plan),
        exchange_(NextName()),
        roudi_(Roudi::Get()),
        done_(eventfd(0, EFD_CLOEXEC)),
        client_([this](uint64_t count) { Ask(count); }, kClientCpu),
        server_([this](uint64_t count) { Serve(count); }) {}

  std::string name() const override { return Dialogue<End>(plan_, nullptr).name(); }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(count);
    client_.Begin(count);
    if (!AwaitSignal(done_.get(), &client_, &server_))
      throw std::runtime_error("a process of iceoryx ended, or waits for ever");
    latency_ns->Merge(report_->latency_ns);
    return report_->round;
  }

 private:
  static constexpr const char* kRequests = "-requests";
  static constexpr const char* kReplies = "-replies";

  struct Report {
    Round round;
    base::Histogram latency_ns;
  };

  static std::string NextName() {
    static int next = 0;
    return fmt::format("vgpu-bench-{}-{}", getpid(), next++);
  }
  void Ask(uint64_t count) {
    if (!end_) end_.emplace(exchange_, kRequests, kReplies);
    report_->latency_ns.Reset();
    report_->round = plan_.payload_bytes == 0 ? Dialogue<End>(plan_, &*end_).Run(count, &report_->latency_ns)
                                              : AskPayloads(count, &report_->latency_ns);
    eventfd_write(done_.get(), 1);
  }

  void Serve(uint64_t count) {
    if (!end_) end_.emplace(exchange_, kReplies, kRequests);
    if (plan_.payload_bytes == 0) return Dialogue<End>(plan_, &*end_).Serve(count);
    for (uint64_t left = WithWarmUp(count); left > 0; --left) {
      const void* payload = AwaitChunk();
      void* result = end_->Loan(plan_.payload_bytes);
      DoublePayload(static_cast<const uint32_t*>(payload), static_cast<uint32_t*>(result),
                    plan_.payload_bytes);
      end_->Publish(result);
      end_->Release(payload);
    }
  }

  // To loan the chunk and to release the result's is not in the time, in its favour.
  Round AskPayloads(uint64_t count, base::Histogram* latency_ns) {
    Payloads payloads(plan_.payload_bytes);
    void* payload = nullptr;
    const void* result = nullptr;
    const auto before = [&] {
      payload = end_->Loan(plan_.payload_bytes);
      payloads.WriteNext(static_cast<uint32_t*>(payload));
    };
    const auto ask = [&] {
      end_->Publish(payload);
      result = AwaitChunk();
      return true;
    };
    const auto after = [&] {
      const bool right = payloads.IsDoubled(static_cast<const uint32_t*>(result));
      end_->Release(result);
      return right;
    };
    return RunEachTimed(count, latency_ns, before, ask, after);
  }

  const void* AwaitChunk() {
    for (;;) {
      if (const void* chunk = end_->Take(); chunk != nullptr) return chunk;
      Rest(plan_.polling);
    }
  }

  const PairPlan plan_;
  const std::string exchange_;
  const std::shared_ptr<Roudi> roudi_;
  const Remains client_remains_{exchange_ + kRequests};
  const Remains server_remains_{exchange_ + kReplies};
  const base::UniqueFd done_;
  Shared<Report> report_;
  std::optional<End> end_;  // of either process its own
  RivalServer client_;
  RivalServer server_;
};

}  // namespace

Absence IceoryxAbsent(const PairPlan& plan) {
  if (plan.depth > kQueueMax) {
    return {fmt::format("iceoryx: a subscriber's queue of the shipped build holds {} and no more", kQueueMax),
            false};
  }
  try {
    Roudi::Get();
    return {};
  } catch (const std::exception& error) {
    return {std::string("iceoryx: ") + error.what(), true};
  }
}

std::unique_ptr<Contestant> MakeIceoryxPair(const PairPlan& plan) {
  return std::make_unique<IceoryxPair>(plan);
}

}  // namespace vgpu::bench
