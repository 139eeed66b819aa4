// SPDX-License-Identifier: Apache-2.0
#include "mediator/backend_gpu.h"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/engine_environment.h"
#include "mediator/eventfd.h"
#include "mediator/guest_ring.h"
#include "mediator/operations.h"
#include "mediator/session.h"
#include "mediator/threads.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kGpusMax = 64;
// The engine itself says that its driver hangs; this is for one that cannot even say that.
constexpr std::chrono::seconds kStartMargin{5};
// Of one operand. On an H100 75 us where the kernel reads over the bus, and 95 us in the copy engines.
constexpr uint64_t kDirectPieceBytes = 1 << 20;
constexpr uint64_t kCopyPieceBytes = engine::kCopyBytesMax;
// 50 us at a tenth of the bus.
constexpr uint64_t kGentlePieceBytes = 128 << 10;
// So long after an add, lower classes leave it most of the bus.
constexpr int64_t kGentleNs = 1'000'000;
constexpr uint32_t kPollsPerLook = 256;
// An engine that lived this long was well.
constexpr int64_t kWellNs = 60'000'000'000;
constexpr int kDelayMaxMs = 30'000;
// So many engines in a row may die before they are ready; then only a request starts another one.
constexpr uint32_t kStillbornMax = 8;
// While a dead engine's context is torn down the GPU may stand still for its heir: so many times the time-out.
constexpr int64_t kPatienceWithHeir = 4;
// So many engines may hang or crash while they register the memory of one VM.
constexpr uint32_t kEnginesEndedMax = 2;
// GPUs that were not there at the start.
constexpr int kLookFirstS = 2;
constexpr int kLookMaxS = 300;

void SayWhatEnginesDoNotGet() {
  const std::vector<std::string> names = VariablesKeptFromEngines(environ);
  if (!names.empty()) {
    spdlog::info("the environment has variables of other CUDA programs, which engines do not get: {}", fmt::join(names, ", "));
  }
}

}  // namespace

GpuBackend::GpuBackend(EventLoop* loop, const GpuConfig& config) : loop_(loop), config_(config) {}

GpuBackend::~GpuBackend() {
  loop_->Unwatch(look_watch_);
  loop_->Unwatch(starter_watch_);
  for (const auto& gpu : gpus_) {
    for (Engine* engine : {&gpu->current, &gpu->spare}) {
      if (engine->process != nullptr) Bury(engine);
    }
  }
  for (Engine& engine : dying_) {
    engine.process->Unwatch();
    starter_->Bury(std::move(engine.process));
  }
}

base::Result<void> GpuBackend::OpenStarter(EngineRecord record) {
  cpu_set_t cpus{};  // the mediator's own at its start: whoever pins its thread later does not mean the engines
  sched_getaffinity(0, sizeof cpus, &cpus);
  auto starter = EngineStarter::Create(std::move(record), cpus);
  if (!starter) return tl::make_unexpected(starter.error());
  starter_ = std::move(*starter);
  engines_started_.backend = this;
  starter_watch_ = loop_->Watch(starter_->fd(), &engines_started_);
  if (starter_watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  return {};
}

base::Result<std::unique_ptr<GpuBackend>> GpuBackend::Create(EventLoop* loop, const GpuConfig& config,
                                                             std::unique_ptr<CpuBackend>* cpu, EngineRecord record) {
  std::unique_ptr<GpuBackend> backend(new GpuBackend(loop, config));
  if (const auto starter = backend->OpenStarter(std::move(record)); !starter) return tl::make_unexpected(starter.error());
  if (const auto opened = backend->Open(); !opened) return tl::make_unexpected(opened.error());
  backend->cpu_ = std::move(*cpu);
  SayWhatEnginesDoNotGet();
  return backend;
}

base::Result<std::unique_ptr<GpuBackend>> GpuBackend::CreateWithoutGpu(EventLoop* loop, const GpuConfig& config,
                                                                       std::unique_ptr<CpuBackend>* cpu,
                                                                       EngineRecord record) {
  std::unique_ptr<GpuBackend> backend(new GpuBackend(loop, config));
  if (const auto starter = backend->OpenStarter(std::move(record)); !starter) return tl::make_unexpected(starter.error());
  std::vector<GpuChoice> wanted = config.gpus;
  if (wanted.empty()) wanted.push_back({0, {'A', 'B'}});
  for (const GpuChoice& choice : wanted) {
    auto gpu = std::make_unique<Gpu>();
    gpu->ordinal = choice.ordinal;
    gpu->pools = choice.pools;
    gpu->use = GpuUse::kParked;
    gpu->seen = false;
    backend->gpus_.push_back(std::move(gpu));
  }
  if (const auto watching = backend->WatchForGpus(); !watching) return tl::make_unexpected(watching.error());
  backend->cpu_ = std::move(*cpu);
  return backend;
}

// The first GPU's engine says how many there are.
base::Result<void> GpuBackend::Open() {
  std::vector<GpuChoice> wanted = config_.gpus;
  if (wanted.empty()) wanted.push_back({0, {'A', 'B'}});
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto engine = StartAndWait(wanted[i].ordinal);
    if (!engine) return tl::make_unexpected(engine.error());
    auto gpu = std::make_unique<Gpu>();
    gpu->ordinal = wanted[i].ordinal;
    gpu->pools = wanted[i].pools;
    gpu->hello = engine->process->hello();
    gpu->current = std::move(*engine);
    gpu->started_ns = clock_.Now();
    const uint32_t present = std::min(gpu->hello.gpus, kGpusMax);
    gpus_.push_back(std::move(gpu));
    for (uint32_t more = 1; i == 0 && config_.gpus.empty() && more < present; ++more) {
      wanted.push_back({static_cast<int>(more), {'A', 'B'}});
    }
  }
  for (const auto& gpu : gpus_) Replace(gpu.get());
  return {};
}

// ---- engines ----

std::unique_ptr<EngineOrder> GpuBackend::OrderFor(int ordinal, int delay_ms) const {
  auto order = std::make_unique<EngineOrder>();
  order->options = {.gpu = ordinal,
                    .driver_library = config_.driver_library,
                    .resident = config_.resident,
                    .idle_ms = static_cast<int>(config_.idle_ms),
                    .park_s = static_cast<int>(config_.park_s),
                    .start_ms = static_cast<int>(config_.start_ms),
                    .delay_ms = delay_ms};
  return order;
}

// Before anybody is served. Nothing else is ordered meanwhile.
base::Result<GpuBackend::Engine> GpuBackend::StartAndWait(int ordinal) {
  starter_->Order(OrderFor(ordinal, 0));
  std::unique_ptr<EngineOrder> order;
  while (order = starter_->Take(), order == nullptr) {
    pollfd answered{starter_->fd(), POLLIN, 0};
    poll(&answered, 1, -1);
    DrainEventfd(starter_->fd());
  }
  if (order->process == nullptr) return tl::make_unexpected(order->error);
  Engine engine{EngineLife::kServing, ordinal, std::move(order->process), nullptr};
  auto ready = engine.process->AwaitReady(std::chrono::milliseconds(config_.start_ms) + kStartMargin);
  if (ready && !engine.process->Watch(loop_, this)) ready = tl::make_unexpected(std::string("the event loop has no room"));
  if (!ready) {
    starter_->Bury(std::move(engine.process));
    return tl::make_unexpected(ready.error());
  }
  engine.port = std::make_unique<EnginePort>(engine.process->area(), engine.process->kick_fd(), &watched_);
  return engine;
}

uint32_t GpuBackend::IndexOf(const Gpu* gpu) const {
  const auto is_it = [gpu](const auto& entry) { return entry.get() == gpu; };
  return static_cast<uint32_t>(std::find_if(gpus_.begin(), gpus_.end(), is_it) - gpus_.begin());
}

// After early deaths each start comes later than the one before.
void GpuBackend::Order(Gpu* gpu, Engine* engine) {
  const int delay_ms = gpu->deaths == 0 ? 0 : std::min(kDelayMaxMs, 50 << std::min(gpu->deaths, 10u));
  auto order = OrderFor(gpu->ordinal, delay_ms);
  order->gpu = IndexOf(gpu);
  order->spare = engine == &gpu->spare;
  order->unseen = !gpu->seen;
  engine->life = EngineLife::kStarting;
  starter_->Order(std::move(order));
}

// Orders what is missing.
void GpuBackend::Replace(Gpu* gpu) {
  if (gpu->use != GpuUse::kInUse) return;
  if (gpu->current.life == EngineLife::kAbsent) Order(gpu, &gpu->current);
  const bool spare_wanted = config_.spare && !gpu->spare_refused && gpu->current.life == EngineLife::kServing;
  if (spare_wanted && gpu->spare.life == EngineLife::kAbsent) Order(gpu, &gpu->spare);
}

void GpuBackend::TakeStarted() {
  DrainEventfd(starter_->fd());
  while (const auto order = starter_->Take()) Started(order.get());
}

// Engines of one GPU are alike, and come in the order in which they were asked for.
void GpuBackend::Started(EngineOrder* order) {
  Gpu* gpu = gpus_[order->gpu].get();
  Engine unwanted;
  Engine* engine = &unwanted;
  if (gpu->unwanted_starts != 0) {
    --gpu->unwanted_starts;
  } else {
    engine = gpu->current.life == EngineLife::kStarting ? &gpu->current : &gpu->spare;
    assert(engine->life == EngineLife::kStarting);
  }
  if (order->process != nullptr && !order->process->Watch(loop_, this)) {
    order->error = "the event loop has no room for an engine";
    starter_->Bury(std::move(order->process));
  }
  if (order->process == nullptr) return StartRefused(gpu, engine, *order);
  *engine = {EngineLife::kLoading, gpu->ordinal, std::move(order->process), nullptr};
  if (engine == &unwanted) Bury(engine);
}

void GpuBackend::StartRefused(Gpu* gpu, Engine* engine, const EngineOrder& order) {
  const char* what = order.spare ? "a spare engine" : "an engine";
  if (!order.error.empty()) spdlog::error("GPU {}: cannot start {}: {}", gpu->ordinal, what, order.error);
  engine->life = EngineLife::kAbsent;
  const auto absent = [](const Engine& entry) { return entry.life == EngineLife::kAbsent; };
  if (gpu->use == GpuUse::kInUse && absent(gpu->current) && absent(gpu->spare)) ParkFailing(gpu);
  if (UnparkIfWanted(gpu)) Replace(gpu);
}

GpuBackend::Gpu* GpuBackend::GpuOf(const EngineProcess* engine) {
  for (const auto& gpu : gpus_) {
    if (gpu->current.process.get() == engine || gpu->spare.process.get() == engine) return gpu.get();
  }
  return nullptr;
}

void GpuBackend::OnEngineReady(EngineProcess* process) {
  Gpu* gpu = GpuOf(process);
  if (gpu == nullptr) return;
  // A spare one that is ready before a new one that is to work does the work.
  if (gpu->spare.process.get() == process && gpu->current.life != EngineLife::kServing) std::swap(gpu->current, gpu->spare);
  Engine& engine = gpu->current.process.get() == process ? gpu->current : gpu->spare;
  engine.life = EngineLife::kServing;
  engine.port = std::make_unique<EnginePort>(process->area(), process->kick_fd(), &watched_);
  RegisterAll(*gpu, process);
  if (&engine != &gpu->current) return;
  gpu->started_ns = clock_.Now();
  if (!gpu->seen) {
    gpu->hello = process->hello();
    gpu->seen = true;
    spdlog::info("GPU {}: found: {}", gpu->ordinal, gpu->hello.name);
    SayWhatEnginesDoNotGet();
  }
  // That a parked GPU comes back is nothing new.
  spdlog::log(gpu->deaths == 0 ? spdlog::level::debug : spdlog::level::info, "GPU {}: a new engine is ready", gpu->ordinal);
  Replace(gpu);
}

void GpuBackend::Register(Session* session, EngineProcess* engine) {
  const DeviceSeat& seat = session->seat;
  if (seat.leaving || seat.refused || engine->Holds(seat.region)) return;
  const SessionMemory& memory = session->memory();
  engine->Register(seat.region, memory.layout, {memory.region_fd.get(), memory.rings_fd.get()});
}

// A spare engine gets what the current one has survived.
void GpuBackend::RegisterAll(const Gpu& gpu, EngineProcess* engine) {
  const EngineProcess* current = gpu.current.process.get();
  for (Session* session : seats_) {
    if (session == nullptr || gpus_[session->seat.gpu].get() != &gpu) continue;
    if (engine == current || current->Uses(session->seat.region)) Register(session, engine);
  }
}

void GpuBackend::OnRegistered(EngineProcess* engine, uint32_t region, const std::string& error) {
  Session* session = seats_[region];
  if (session == nullptr) return;
  const Gpu& gpu = *gpus_[session->seat.gpu];
  if (gpu.current.process.get() != engine) return error.empty() ? void() : SeatsMayBeFree();
  if (!error.empty()) {
    spdlog::warn("VM {} stays on the CPU: the GPU cannot use its memory: {}", session->vm_id(), error);
    session->seat.refused = true;
    return SeatsMayBeFree();
  }
  if (session->seat.leaving) return;
  listener_->SetOnDevice(session, true);
  if (gpu.spare.port != nullptr) Register(session, gpu.spare.process.get());
}

void GpuBackend::OnUnregistered(EngineProcess*, uint32_t) { SeatsMayBeFree(); }

void GpuBackend::OnEngineFailed(EngineProcess* process, const std::string& reason) {
  Gpu* gpu = GpuOf(process);
  if (gpu == nullptr) return;  // it is dying already
  if (gpu->spare.process.get() == process) {
    // In exclusive mode a GPU takes one process only.
    gpu->spare_refused = gpu->spare.port == nullptr;
    spdlog::warn("GPU {}: {} spare engine: {}", gpu->ordinal, gpu->spare_refused ? "there will be no" : "lost the", reason);
    return Bury(&gpu->spare);
  }
  spdlog::log(gpu->seen ? spdlog::level::err : spdlog::level::debug, "GPU {}: {}; its engine is replaced", gpu->ordinal,
              reason);
  const bool was_well = gpu->current.port != nullptr && clock_.Now() - gpu->started_ns >= kWellNs;
  gpu->deaths = was_well ? 1 : gpu->deaths + 1;
  gpu->stillborn = gpu->current.port == nullptr ? gpu->stillborn + 1 : 0;
  Bury(&gpu->current);
  for (Session* session : seats_) {
    if (session != nullptr && gpus_[session->seat.gpu].get() == gpu && session->seat.on_device) {
      listener_->SetOnDevice(session, false);
    }
  }
  if (gpu->spare.port != nullptr) return Adopt(gpu);
  if (gpu->stillborn >= kStillbornMax || !gpu->seen) ParkFailing(gpu);
}

// Whoever's memory ends engines stays on the CPU, also when it comes back under the same number.
void GpuBackend::Blame(const EngineProcess& engine) {
  if (engine.culprit() < 0) return;
  Session* session = seats_[static_cast<uint32_t>(engine.culprit())];
  if (session == nullptr || ++engines_ended_by_[session->vm_id()] < kEnginesEndedMax) return;
  session->seat.refused = true;
  spdlog::warn("VM {} stays on the CPU: {} engines ended while they registered its memory", session->vm_id(),
               kEnginesEndedMax);
}

// ---- parking ----

void GpuBackend::OnEngineIdle(EngineProcess* process) {
  Gpu* gpu = GpuOf(process);
  if (gpu == nullptr || gpu->current.process.get() != process) return;
  // It may have said so before it was the current one, or before it got what it has now.
  const bool is_idle = gpu->current.port->in_flight() == 0 && !process->busy() &&
                       clock_.Now() - gpu->started_ns >= int64_t{config_.park_s} * 500'000'000;
  if (is_idle) return Park(gpu);
  SignalEventfd(process->kick_fd());  // its idle time begins again
}

void GpuBackend::Park(Gpu* gpu) {
  spdlog::debug("GPU {}: parked", gpu->ordinal);
  gpu->use = GpuUse::kParked;
  gpu->deaths = gpu->stillborn = 0;
  SetParked(*gpu, true);
  for (Engine* engine : {&gpu->current, &gpu->spare}) {
    if (engine->process != nullptr) Bury(engine);
    if (engine->life == EngineLife::kStarting) ++gpu->unwanted_starts;
    engine->life = EngineLife::kAbsent;
  }
}

void GpuBackend::ParkFailing(Gpu* gpu) {
  if (gpu->seen) {
    spdlog::error("GPU {}: no engine lives; a request, {} s from now or later, will start one again", gpu->ordinal,
                  kDelayMaxMs / 1000);
  }
  gpu->not_before_ns = clock_.Now() + int64_t{kDelayMaxMs} * 1'000'000;
  Park(gpu);
}

void GpuBackend::SetParked(const Gpu& gpu, bool parked) {
  for (Session* session : seats_) {
    if (session == nullptr || gpus_[session->seat.gpu].get() != &gpu) continue;
    session->seat.parked = parked && gpu.seen && !session->seat.refused;
    if (session->seat.on_device) listener_->SetOnDevice(session, false);
  }
}

void GpuBackend::Wake(Session* session) {
  Gpu* gpu = gpus_[session->seat.gpu].get();
  if (gpu->use == GpuUse::kInUse || !gpu->seen || clock_.Now() < gpu->not_before_ns) return;
  gpu->use = GpuUse::kWanted;
  if (UnparkIfWanted(gpu)) Replace(gpu);
}

// True: it needs its engines again. Not beside its old ones: a GPU may have no room for both, or take one process only.
bool GpuBackend::UnparkIfWanted(Gpu* gpu) {
  if (gpu->use != GpuUse::kWanted || HasDying(*gpu)) return false;
  spdlog::debug("GPU {}: asked for", gpu->ordinal);
  gpu->use = GpuUse::kInUse;
  SetParked(*gpu, false);
  return true;
}

// ---- GPUs that were not there, or had no room, at the start ----

base::Result<void> GpuBackend::WatchForGpus() {
  look_timer_ = base::UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!look_timer_) return tl::make_unexpected(Refused("cannot create a timer", errno));
  time_to_look_.backend = this;
  look_watch_ = loop_->Watch(look_timer_.get(), &time_to_look_);
  if (look_watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  LookLater();
  return {};
}

void GpuBackend::LookLater() {
  itimerspec time{};
  time.it_value.tv_sec = std::min(kLookMaxS, kLookFirstS << std::min(looks_++, 10u));
  timerfd_settime(look_timer_.get(), 0, &time, nullptr);
}

void GpuBackend::LookForGpus() {
  uint64_t times;
  [[maybe_unused]] const ssize_t got = read(look_timer_.get(), &times, sizeof times);
  const auto unseen = [](const auto& gpu) { return !gpu->seen; };
  if (std::none_of(gpus_.begin(), gpus_.end(), unseen)) return;
  LookLater();
  for (const auto& gpu : gpus_) {
    if (gpu->seen || gpu->use == GpuUse::kInUse || HasDying(*gpu)) continue;
    gpu->use = GpuUse::kInUse;
    Replace(gpu.get());
  }
}

// Or one that is to die as soon as it has been started.
bool GpuBackend::HasDying(const Gpu& gpu) const {
  return gpu.unwanted_starts != 0 || std::any_of(dying_.begin(), dying_.end(),
                     [&gpu](const Engine& engine) { return engine.ordinal == gpu.ordinal; });
}

// Kills it; what it has in flight waits for its end.
void GpuBackend::Bury(Engine* engine) {
  engine->process->Kill();
  engine->life = EngineLife::kEnding;
  dying_.push_back(std::move(*engine));
  *engine = {};
}

// The spare engine takes over.
void GpuBackend::Adopt(Gpu* gpu) {
  gpu->current = std::move(gpu->spare);
  gpu->spare = {};
  gpu->started_ns = clock_.Now();
  spdlog::info("GPU {}: the spare engine has taken over", gpu->ordinal);
  SignalEventfd(gpu->current.process->kick_fd());  // its idle time begins now
  for (Session* session : seats_) {
    if (session == nullptr || gpus_[session->seat.gpu].get() != gpu || session->seat.leaving) continue;
    if (gpu->current.process->Uses(session->seat.region)) listener_->SetOnDevice(session, true);
  }
  RegisterAll(*gpu, gpu->current.process.get());  // what the one before had not come to
}

void GpuBackend::OnEngineGone(EngineProcess* process) {
  const auto engine = std::find_if(dying_.begin(), dying_.end(),
                                   [process](const Engine& entry) { return entry.process.get() == process; });
  assert(engine != dying_.end());
  if (engine->port != nullptr) {
    engine->port->Poll(&ended_);  // what it did finish
    std::vector<Piece> pieces;
    engine->port->TakeAll(&pieces);
    Recover(std::move(pieces));
  }
  Blame(*process);
  Engine dead = std::exchange(*engine, {});
  dead.port.reset();  // it looks into the engine's area
  dying_.erase(engine);
  starter_->Bury(std::move(dead.process));  // before the orders: it has a place among the tasks
  for (const auto& gpu : gpus_) {
    if (gpu->ordinal == dead.ordinal && !HasDying(*gpu)) gpu->alone_since_ns = watched_.Now();
    UnparkIfWanted(gpu.get());
    Replace(gpu.get());
  }
  SeatsMayBeFree();
}

// What a dead engine had. A request that is cut into pieces is judged as a whole.
void GpuBackend::Recover(std::vector<Piece> pieces) {
  for (const Piece& piece : pieces) {
    if (piece.request->repeatable) {
      again_.push_back(piece);
    } else {
      piece.request->code = VGPU_ERR_INTERRUPTED;
      ended_.push_back(piece);
    }
  }
  RunAgain();
}

void GpuBackend::RunAgain() {
  while (!again_.empty()) {
    const Piece piece = again_.back();
    if (piece.request->op->in_slot != nullptr) {
      Run(piece.request, 0, 0);
      ended_.push_back(piece);
    } else if (cpu_->HasRoom()) {
      cpu_->Submit(piece, 0);
    } else {
      return;  // Reap comes here again
    }
    again_.pop_back();
  }
}

void GpuBackend::LookForOverdue() {
  const int64_t now_ns = watched_.Now();
  for (const auto& gpu : gpus_) {
    if (gpu->current.port == nullptr) continue;
    const int64_t waiting_ns = gpu->current.port->WaitingSince(now_ns);
    if (waiting_ns == INT64_MAX) continue;
    const bool heir = HasDying(*gpu);
    const int64_t since_ns = heir ? waiting_ns : std::max(waiting_ns, gpu->alone_since_ns);
    if (now_ns - since_ns < int64_t{config_.timeout_ms} * 1'000'000 * (heir ? kPatienceWithHeir : 1)) continue;
    OnEngineFailed(gpu->current.process.get(), fmt::format("no answer for {} ms", config_.timeout_ms));
  }
}

// ---- seats ----

void GpuBackend::Attach(Session* session) {
  if (session->memory().layout.ring_count == 0) return;  // the window ring alone: the loop serves it
  Gpu* best = nullptr;
  for (const auto& gpu : gpus_) {
    const bool serves = std::find(gpu->pools.begin(), gpu->pools.end(), static_cast<char>(session->pool())) != gpu->pools.end();
    if (serves && (best == nullptr || gpu->sessions < best->sessions)) best = gpu.get();
  }
  const auto seat = std::find(seats_.begin(), seats_.end(), nullptr);
  if (best == nullptr || seat == seats_.end()) {
    if (best != nullptr && !best->seen) return;
    spdlog::warn("VM {} is served by the CPU: {}", session->vm_id(),
                 best == nullptr ? "no GPU is in its pool" : "the GPUs have all the VMs they can have");
    return;
  }
  *seat = session;
  ++best->sessions;
  session->seat.region = static_cast<uint32_t>(seat - seats_.begin());
  session->seat.ordinal = best->ordinal;
  session->seat.gpu = IndexOf(best);
  const auto blamed = engines_ended_by_.find(session->vm_id());
  session->seat.refused = blamed != engines_ended_by_.end() && blamed->second >= kEnginesEndedMax;
  if (session->seat.refused) {
    spdlog::warn("VM {} stays on the CPU: engines ended while they registered its memory before", session->vm_id());
  }
  session->seat.parked = best->use != GpuUse::kInUse && best->seen && !session->seat.refused;
  if (best->current.port != nullptr) Register(session, best->current.process.get());
}

// Found before any of them is spoken to: one that turns out to be dead changes places with the other.
std::array<EngineProcess*, 2> GpuBackend::ReadyEngines(const Gpu& gpu) {
  const auto ready = [](const Engine& engine) { return engine.port != nullptr ? engine.process.get() : nullptr; };
  return {ready(gpu.current), ready(gpu.spare)};
}

bool GpuBackend::Release(Session* session) {
  DeviceSeat& seat = session->seat;
  if (seat.region == DeviceSeat::kNone) return true;
  Gpu& gpu = *gpus_[seat.gpu];
  if (!seat.leaving) {
    seat.leaving = true;
    if (seat.on_device) listener_->SetOnDevice(session, false);
    for (EngineProcess* engine : ReadyEngines(gpu)) {
      if (engine != nullptr && engine->Holds(seat.region)) engine->Unregister(seat.region);
    }
  }
  const auto holds = [&](const Engine& engine) {
    return engine.process != nullptr && engine.process->Holds(seat.region);
  };
  if (holds(gpu.current) || holds(gpu.spare) || std::any_of(dying_.begin(), dying_.end(), holds)) return false;
  seats_[seat.region] = nullptr;
  seat.region = DeviceSeat::kNone;
  --gpu.sessions;
  return true;
}

void GpuBackend::SeatsMayBeFree() {
  for (Session* session : seats_) {
    if (session != nullptr && session->seat.leaving) listener_->SeatFree(session);
  }
}

// ---- work ----

EnginePort* GpuBackend::PortOf(const GuestRing& ring) const {
  return gpus_[ring.session()->seat.gpu]->current.port.get();
}

uint32_t GpuBackend::SlotRoom(const GuestRing& ring) { return PortOf(ring)->AddRoom(); }

// What is not the GPU's goes to the CPU's workers, wherever its session is.
bool GpuBackend::OnGpu(const GuestRing& ring, const Request& request) {
  return ring.session()->seat.on_device && request.op->gpu_job != kNotOnGpu;
}

bool GpuBackend::HasRoom(const GuestRing& ring, const Request& request, int64_t now_ns) const {
  if (!OnGpu(ring, request)) return again_.empty() && cpu_->HasRoom();
  return PortOf(ring)->HasJobRoom(Gentle(ring, now_ns));
}

// A higher class has had adds a moment ago: vectors at full speed would triple their p99
// (docs/adr/0011-which-work-runs-where.md).
bool GpuBackend::Gentle(const GuestRing& ring, int64_t now_ns) const {
  for (uint32_t priority = ring.session()->priority() + 1; priority < kPriorities; ++priority) {
    const int64_t last_ns = gpus_[ring.session()->seat.gpu]->last_add_ns[priority];
    if (last_ns != 0 && now_ns - last_ns < kGentleNs) return true;
  }
  return false;
}

bool GpuBackend::Copies(const Request& request) const {
  return request.count * ElementBytes(request.type) >= uint64_t{config_.copy_from_kib} << 10;
}

uint64_t GpuBackend::PieceElements(const GuestRing& ring, const Request& request, int64_t now_ns) const {
  if (!OnGpu(ring, request)) return cpu_->PieceElements(ring, request, now_ns);
  const uint64_t element = ElementBytes(request.type);
  if (Gentle(ring, now_ns)) return kGentlePieceBytes / element;
  return (Copies(request) ? kCopyPieceBytes : kDirectPieceBytes) / element;
}

void GpuBackend::Submit(const Piece& piece, int64_t now_ns) {
  Session& session = *piece.ring->session();
  if (!OnGpu(*piece.ring, *piece.request)) return cpu_->Submit(piece, now_ns);
  ++session.gpu_pieces;
  uint32_t flags = 0;
  if (Gentle(*piece.ring, now_ns)) {
    flags = engine::kJobGentle;
  } else if (Copies(*piece.request)) {
    flags = engine::kJobCopies;
  }
  PortOf(*piece.ring)->SubmitJob(piece, (piece.end - piece.begin) * ElementBytes(piece.request->type), flags);
}

void GpuBackend::SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) {
  Session& session = *ring->session();
  Gpu& gpu = *gpus_[session.seat.gpu];
  ++session.gpu_pieces;
  gpu.last_add_ns[session.priority()] = now_ns;
  gpu.current.port->SubmitAdd(ring, request);
}

void GpuBackend::Flush() {
  for (const auto& gpu : gpus_) {
    if (gpu->current.port != nullptr) gpu->current.port->Flush();
  }
}

bool GpuBackend::polls() const {
  if (!ended_.empty()) return true;
  return std::any_of(gpus_.begin(), gpus_.end(), [](const auto& gpu) {
    return gpu->current.port != nullptr && gpu->current.port->in_flight() != 0;
  });
}

void GpuBackend::Poll(std::vector<Piece>* finished) {
  if (!ended_.empty()) {
    finished->insert(finished->end(), ended_.begin(), ended_.end());
    ended_.clear();
  }
  for (const auto& gpu : gpus_) {
    if (gpu->current.port != nullptr) gpu->current.port->Poll(finished);
  }
  // A resident kernel beside a hung one goes on to its last moment.
  for (const Engine& engine : dying_) {
    if (engine.port != nullptr) engine.port->Poll(finished);
  }
  if (++polls_ % kPollsPerLook == 0) LookForOverdue();
}

void GpuBackend::Reap(std::vector<Piece>* finished) {
  cpu_->Reap(finished);
  RunAgain();
}

void GpuBackend::GoingToSleep() {
  for (const auto& gpu : gpus_) {
    if (gpu->current.port != nullptr) gpu->current.port->GoingToSleep();
  }
}

void GpuBackend::Describe(uint32_t pool, vgpu_device_info* info) const {
  for (const auto& gpu : gpus_) {
    if (!gpu->seen) continue;
    if (std::find(gpu->pools.begin(), gpu->pools.end(), static_cast<char>(pool)) == gpu->pools.end()) continue;
    info->backend = VGPU_BACKEND_CUDA;
    info->memory_bytes = gpu->hello.memory_bytes;
    std::snprintf(info->name, sizeof info->name, "%s", gpu->hello.name);
    std::snprintf(info->driver, sizeof info->driver, "%s", gpu->hello.driver);
    return;
  }
  cpu_->Describe(pool, info);
}

}  // namespace vgpu::mediator
