// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_starter.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/gpu/engine_process.h"
#include "mediator/gpu/worker_program.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/mailbox.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

constexpr std::chrono::seconds kStopPatience{10};
// A start takes some milliseconds.
constexpr int64_t kSlowNs = 1'000'000'000;
// At most so many orders are under way: two for each GPU, and as many again whose GPU was parked meanwhile.
constexpr uint32_t kOrdersMax = EngineStarter::kEnginesMax;
constexpr uint32_t kItemsMax = kOrdersMax + EngineStarter::kEnginesMax + 1;

// Is it worth a process to look? A driver by another name is not the system's.
bool MayHaveGpu(const std::string& driver_library) {
  return driver_library != engine::EngineOptions().driver_library ||
         access("/proc/driver/nvidia/version", F_OK) == 0;
}

// All engines of a starter are processes.
std::unique_ptr<EngineProcess> ProcessOf(std::unique_ptr<EngineHandle> engine) {
  return std::unique_ptr<EngineProcess>(static_cast<EngineProcess*>(engine.release()));
}

struct Item {
  enum class Kind : uint8_t { kStart, kReap, kStop };
  Kind kind = Kind::kStop;
  EngineOrder* order = nullptr;
  EngineProcess* process = nullptr;
};

}  // namespace

struct EngineStarter::Thread {
  Thread(EngineRecord its_record, const cpu_set_t& its_cpus)
      : record(std::move(its_record)), cpus(its_cpus) {}

  void Work();
  void Start(EngineOrder* order);
  void StartAndRecord(EngineOrder* order);
  void Reap(std::unique_ptr<EngineProcess> process);

  const EngineRecord record;
  const cpu_set_t cpus;
  // Opened once: engines are replaced by engines of this release, also while another one is installed.
  base::Result<base::UniqueFd> worker = OpenWorker(OwnProgram());
  std::unique_ptr<Mailbox<Item>> items;
  std::unique_ptr<Mailbox<EngineOrder*>> answers;
  std::vector<pid_t> engines;  // the thread's: started, and not reaped

  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
};

void EngineStarter::Thread::Work() {
  pthread_setname_np(pthread_self(), "vgpu-starter");
  for (Item item;;) {
    if (!items->Take(&item)) {
      pollfd posted{items->fd(), POLLIN, 0};
      poll(&posted, 1, -1);
      DrainEventfd(items->fd());
      continue;
    }
    if (item.kind == Item::Kind::kStop) break;
    if (item.kind == Item::Kind::kStart) Start(item.order);
    if (item.kind == Item::Kind::kReap) Reap(std::unique_ptr<EngineProcess>(item.process));
  }
  // Nobody takes answers any more.
  for (EngineOrder* order; answers->Take(&order);) {
    const std::unique_ptr<EngineOrder> untaken(order);
    if (untaken->process != nullptr) Reap(ProcessOf(std::move(untaken->process)));
  }
  record.Write(engines);
  const std::lock_guard lock(mutex);
  ended = true;
  changed.notify_all();
}

void EngineStarter::Thread::Start(EngineOrder* order) {
  const int64_t begin_ns = MonotonicNs();
  StartAndRecord(order);
  const int64_t took_ns = MonotonicNs() - begin_ns;
  if (took_ns > kSlowNs) {
    spdlog::warn(
        "to start an engine process took {:.1f} s: is the machine short of memory, or the socket's file "
        "system slow?",
        static_cast<double>(took_ns) / 1e9);
  }
  answers->Post(order);
}

// It is written down before it can be given anybody's memory.
void EngineStarter::Thread::StartAndRecord(EngineOrder* order) {
  if (order->unseen && !MayHaveGpu(order->options.driver_library)) return;
  if (engines.size() >= EngineSource::kEnginesMax) {
    order->error = "too many engine processes do not end (a GPU driver that hangs?): restart the host";
    return;
  }
  if (!worker) worker = OpenWorker(OwnProgram());  // somebody may have followed the advice
  if (!worker) {
    order->error = worker.error();
    return;
  }
  auto process = EngineProcess::Start(worker->get(), order->options, cpus);
  if (!process) {
    order->error = std::move(process.error());
    return;
  }
  engines.push_back((*process)->pid());
  record.Write(engines);
  order->process = std::move(*process);
}

void EngineStarter::Thread::Reap(std::unique_ptr<EngineProcess> process) {
  process->Kill();
  process->Reap();
  std::erase(engines, process->pid());
  record.Write(engines);
}

base::Result<std::unique_ptr<EngineStarter>> EngineStarter::Create(EngineRecord record) {
  cpu_set_t cpus{};
  sched_getaffinity(0, sizeof cpus, &cpus);
  auto items = Mailbox<Item>::Create(kItemsMax);
  if (!items) return tl::make_unexpected(items.error());
  auto answers = Mailbox<EngineOrder*>::Create(kOrdersMax);
  if (!answers) return tl::make_unexpected(answers.error());
  const auto thread = std::make_shared<Thread>(std::move(record), cpus);
  thread->items = std::move(*items);
  thread->answers = std::move(*answers);
  auto started = StartThread("that starts engines", [thread] { thread->Work(); });
  if (!started) return tl::make_unexpected(started.error());
  started->detach();
  return std::unique_ptr<EngineStarter>(new EngineStarter(thread));
}

EngineStarter::~EngineStarter() {
  thread_->items->Post({});
  std::unique_lock lock(thread_->mutex);
  if (thread_->changed.wait_for(lock, kStopPatience, [this] { return thread_->ended; })) return;
  spdlog::error(
      "an engine process, or the file system of the socket's folder, does not come to an end: it is left to "
      "the next mediator");
}

void EngineStarter::Order(std::unique_ptr<EngineOrder> order) {
  thread_->items->Post({Item::Kind::kStart, order.release(), nullptr});
}

void EngineStarter::Reap(std::unique_ptr<EngineHandle> engine) {
  thread_->items->Post({Item::Kind::kReap, nullptr, ProcessOf(std::move(engine)).release()});
}

std::unique_ptr<EngineOrder> EngineStarter::Take() {
  EngineOrder* order = nullptr;
  thread_->answers->Take(&order);
  return std::unique_ptr<EngineOrder>(order);
}

int EngineStarter::fd() const { return thread_->answers->fd(); }

}  // namespace vgpu::mediator
