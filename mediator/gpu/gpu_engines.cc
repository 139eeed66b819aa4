// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/gpu_engines.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/gpu/engine_environment.h"
#include "mediator/lane/guest_ring.h"
#include "mediator/lane/session.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"
#include "mediator/requests/operations.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kGpusMax = 64;
// The engine itself says that its driver hangs; this is for one that cannot even say that.
constexpr std::chrono::seconds kStartMargin{5};
constexpr uint32_t kPollsPerCheck = 256;
// GPUs that were not there at the start.
constexpr int kProbeFirstS = 2;
constexpr int kProbeMaxS = 300;

// Those that the source has. Those that are not started yet: a current and a spare one,
// and as many cancelled.
static_assert(EnginePool::kEnginesMax >= EngineSource::kEnginesMax + 4);

void SayWhatEnginesDoNotGet() {
  const std::vector<std::string> names = VariablesKeptFromEngines(environ);
  if (!names.empty()) {
    spdlog::info("the environment has variables of other CUDA programs, which engines do not get: {}",
                 fmt::join(names, ", "));
  }
}

// Without a list in the configuration, the first GPU.
std::vector<GpuChoice> WantedGpus(const GpuConfig& config) {
  if (!config.gpus.empty()) return config.gpus;
  return {{0, {'A', 'B'}}};
}

}  // namespace

GpuEngines::GpuEngines(EventLoop* loop, const Clock* clock, const GpuConfig& config, Cpu cpu)
    : loop_(loop), config_(config), cpu_(cpu), clock_(clock) {}

GpuEngines::~GpuEngines() {
  loop_->Unwatch(probe_watch_);
  loop_->Unwatch(source_watch_);
  for (const auto& gpu : gpus_) {
    for (const Engine& engine : gpu->engines) engine.process->Kill();
  }
  for (const auto& gpu : gpus_) {
    for (Engine& engine : gpu->engines) {
      engine.process->Unwatch();
      source_->Reap(std::move(engine.process));
    }
  }
}

// ---- starts ----

base::Result<void> GpuEngines::OpenSource(std::unique_ptr<EngineSource> source) {
  source_ = std::move(source);
  engines_started_.engines = this;
  source_watch_ = loop_->Watch(source_->fd(), &engines_started_);
  if (source_watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  return {};
}

base::Result<std::unique_ptr<GpuEngines>> GpuEngines::Create(EventLoop* loop, const Clock* clock,
                                                             const GpuConfig& config, Cpu cpu,
                                                             std::unique_ptr<EngineSource> source) {
  std::unique_ptr<GpuEngines> engines(new GpuEngines(loop, clock, config, cpu));
  if (const auto opened = engines->OpenSource(std::move(source)); !opened) {
    return tl::make_unexpected(opened.error());
  }
  if (const auto opened = engines->Open(); !opened) return tl::make_unexpected(opened.error());
  SayWhatEnginesDoNotGet();
  return engines;
}

base::Result<std::unique_ptr<GpuEngines>> GpuEngines::CreateWithoutGpu(EventLoop* loop, const Clock* clock,
                                                                       const GpuConfig& config, Cpu cpu,
                                                                       std::unique_ptr<EngineSource> source) {
  std::unique_ptr<GpuEngines> engines(new GpuEngines(loop, clock, config, cpu));
  if (const auto opened = engines->OpenSource(std::move(source)); !opened) {
    return tl::make_unexpected(opened.error());
  }
  for (const GpuChoice& choice : WantedGpus(config)) engines->AddGpu(choice, /*found=*/false);
  if (const auto watching = engines->WatchForGpus(); !watching) return tl::make_unexpected(watching.error());
  return engines;
}

GpuEngines::Gpu* GpuEngines::AddGpu(const GpuChoice& choice, bool found) {
  const EnginePoolOptions options{config_.spare, config_.park_s, config_.timeout_ms};
  gpus_.push_back(std::make_unique<Gpu>(count(), choice.ordinal, options, found));
  gpus_.back()->engines.reserve(EnginePool::kEnginesMax);  // so that no turn of the loop does
  placements_.AddGpu(choice.ordinal, choice.pools);
  return gpus_.back().get();
}

// The first GPU's engine says how many there are.
base::Result<void> GpuEngines::Open() {
  std::vector<GpuChoice> wanted = WantedGpus(config_);
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto engine = StartAndWait(wanted[i].ordinal);
    if (!engine) return tl::make_unexpected(engine.error());
    Gpu* gpu = AddGpu(wanted[i], /*found=*/true);
    gpu->hello = engine->process->hello();
    engine->id = gpu->pool.AddReady(clock_->Now());
    gpu->engines.push_back(std::move(*engine));
    const uint32_t present = std::min(gpu->hello.gpus, kGpusMax);
    for (uint32_t more = 1; i == 0 && config_.gpus.empty() && more < present; ++more) {
      wanted.push_back({static_cast<int>(more), {'A', 'B'}});
    }
  }
  for (const auto& gpu : gpus_) CarryOut(gpu.get(), gpu->pool.Replenish());
  return {};
}

std::unique_ptr<EngineOrder> GpuEngines::OrderFor(int ordinal, int delay_ms) const {
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
base::Result<GpuEngines::Engine> GpuEngines::StartAndWait(int ordinal) {
  source_->Order(OrderFor(ordinal, 0));
  std::unique_ptr<EngineOrder> order;
  while (order = source_->Take(), order == nullptr) {
    pollfd answered{source_->fd(), POLLIN, 0};
    poll(&answered, 1, -1);
    DrainEventfd(source_->fd());
  }
  if (order->process == nullptr) return tl::make_unexpected(order->error);
  Engine engine{kNoEngine, std::move(order->process), nullptr};
  auto ready = engine.process->AwaitReady(std::chrono::milliseconds(config_.start_ms) + kStartMargin);
  if (ready && !engine.process->Watch(loop_, this)) {
    ready = tl::make_unexpected(std::string("the event loop has no room"));
  }
  if (!ready) {
    source_->Reap(std::move(engine.process));
    return tl::make_unexpected(ready.error());
  }
  engine.port = std::make_unique<EnginePort>(engine.process->area(), engine.process->kick_fd(), &watched_);
  return engine;
}

void GpuEngines::TakeStarted() {
  DrainEventfd(source_->fd());
  while (auto order = source_->Take()) Started(std::move(order));
}

void GpuEngines::Started(std::unique_ptr<EngineOrder> order) {
  Gpu* gpu = gpus_[order->gpu].get();
  if (order->process != nullptr && !order->process->Watch(loop_, this)) {
    order->error = "the event loop has no room for an engine";
    source_->Reap(std::move(order->process));
  }
  if (order->process == nullptr) {
    const char* what = order->spare ? "a spare engine" : "an engine";
    if (!order->error.empty()) spdlog::error("GPU {}: cannot start {}: {}", gpu->ordinal, what, order->error);
    return CarryOut(gpu, gpu->pool.StartRefused(order->engine, clock_->Now()));
  }
  gpu->engines.push_back({order->engine, std::move(order->process), nullptr});
  CarryOut(gpu, gpu->pool.Started(order->engine));
}

// ---- GPUs that were not there, or had no room, at the start ----

base::Result<void> GpuEngines::WatchForGpus() {
  probe_timer_ = loop_->MakeTimer();
  if (!probe_timer_) return tl::make_unexpected(Refused("cannot create a timer", errno));
  time_to_probe_.engines = this;
  probe_watch_ = loop_->Watch(probe_timer_.get(), &time_to_probe_);
  if (probe_watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  ProbeLater();
  return {};
}

void GpuEngines::ProbeLater() {
  const int delay_s = std::min(kProbeMaxS, kProbeFirstS << std::min(probes_++, 10u));
  loop_->SetTimer(probe_timer_.get(), int64_t{delay_s} * 1'000'000'000);
}

void GpuEngines::ProbeGpus() {
  uint64_t times;
  [[maybe_unused]] const ssize_t got = read(probe_timer_.get(), &times, sizeof times);
  const auto found = [](const auto& gpu) { return gpu->pool.found(); };
  if (std::all_of(gpus_.begin(), gpus_.end(), found)) return;
  ProbeLater();
  for (const auto& gpu : gpus_) CarryOut(gpu.get(), gpu->pool.Probe());
}

// ---- what engines say ----

GpuEngines::Located GpuEngines::Locate(const EngineHandle* process) const {
  for (const auto& gpu : gpus_) {
    for (Engine& engine : gpu->engines) {
      if (engine.process.get() == process) return {gpu.get(), &engine};
    }
  }
  assert(false && "an engine of nobody's");
  return {};
}

GpuEngines::Engine* GpuEngines::Find(Gpu* gpu, EngineId id) {
  const auto is_it = [id](const Engine& engine) { return engine.id == id; };
  const auto engine = std::find_if(gpu->engines.begin(), gpu->engines.end(), is_it);
  return engine == gpu->engines.end() ? nullptr : &*engine;
}

// Null: it is not ready.
EngineHandle* GpuEngines::ReadyProcess(Gpu* gpu, EngineId id) {
  return gpu->pool.Serves(id) ? Find(gpu, id)->process.get() : nullptr;
}

void GpuEngines::OnEngineReady(EngineHandle* process) {
  const Located at = Locate(process);
  CarryOut(at.gpu, at.gpu->pool.Ready(at.engine->id, clock_->Now()));
}

void GpuEngines::OnRegistered(EngineHandle* process, uint32_t region, const std::string& error) {
  Session* session = placements_.session(region);
  if (session == nullptr) return;
  Gpu* gpu = gpus_[session->placement().gpu()].get();
  const bool is_current = ReadyProcess(gpu, gpu->pool.current()) == process;
  if (!error.empty()) {
    if (is_current) {
      spdlog::warn("VM {} stays on the CPU: the GPU cannot use its memory: {}", session->vm_id(), error);
      placements_.Refuse(region);
    }
    return MemoryMayBeFree();
  }
  if (!is_current || !placements_.Serve(region)) return;
  listener_->OnPlacement(session, true);
  if (EngineHandle* spare = ReadyProcess(gpu, gpu->pool.spare())) Register(region, spare);
}

void GpuEngines::OnUnregistered(EngineHandle*, uint32_t) { MemoryMayBeFree(); }

void GpuEngines::OnEngineIdle(EngineHandle* process) {
  const Located at = Locate(process);
  const EnginePort* port = at.engine->port.get();  // null: it was killed before it was ready
  const bool at_rest = port != nullptr && port->in_flight() == 0 && !process->busy();
  CarryOut(at.gpu, at.gpu->pool.Idle(at.engine->id, at_rest, clock_->Now()));
}

void GpuEngines::OnEngineFailed(EngineHandle* process, const std::string& reason) {
  const Located at = Locate(process);
  CarryOut(at.gpu, at.gpu->pool.Failed(at.engine->id, clock_->Now()), reason);
}

void GpuEngines::OnEngineGone(EngineHandle* process) {
  const Located at = Locate(process);
  Engine engine = std::exchange(*at.engine, {});
  at.gpu->engines.erase(at.gpu->engines.begin() + (at.engine - at.gpu->engines.data()));
  if (engine.port != nullptr) {
    engine.port->Poll(&ended_);  // what it did finish
    std::vector<Piece> pieces;
    engine.port->TakeAll(&pieces);
    Recover(pieces);
  }
  Blame(*process);
  engine.port.reset();                       // it looks into the engine's area
  source_->Reap(std::move(engine.process));  // before the orders: it has a place among the tasks
  for (const auto& gpu : gpus_) {
    const bool is_its = gpu.get() == at.gpu;
    CarryOut(gpu.get(), is_its ? gpu->pool.Gone(engine.id, watched_.Now()) : gpu->pool.Replenish());
  }
  MemoryMayBeFree();
}

// ---- what the pools decide ----

// To speak to an engine may show that it has failed. Then OnEngineFailed calls this again, within itself.
void GpuEngines::CarryOut(Gpu* gpu, const EngineActions& actions, const std::string& reason) {
  FindPort(gpu);
  for (const EngineAction& action : actions) CarryOut(gpu, action, reason);
}

void GpuEngines::CarryOut(Gpu* gpu, const EngineAction& action, const std::string& reason) {
  using Kind = EngineAction::Kind;
  switch (action.kind) {
    case Kind::kStart:
    case Kind::kStartSpare: return Order(gpu, action);
    case Kind::kKill: return Find(gpu, action.engine)->process->Kill();
    case Kind::kServe: return Serve(gpu, action.engine);
    case Kind::kFound: return NoteHello(gpu, action.engine);
    case Kind::kReady:  // that a parked GPU comes back is nothing new
      return spdlog::debug("GPU {}: a new engine is ready", gpu->ordinal);
    case Kind::kRecovered: return spdlog::info("GPU {}: a new engine is ready", gpu->ordinal);
    case Kind::kLost: return Lose(gpu, reason);
    case Kind::kSpareLost: return spdlog::warn("GPU {}: lost the spare engine: {}", gpu->ordinal, reason);
    case Kind::kSpareGivenUp:
      return spdlog::warn("GPU {}: there will be no spare engine: {}", gpu->ordinal, reason);
    case Kind::kPromote: return Promote(gpu, action.engine);
    case Kind::kStayAwake: return SignalEventfd(Find(gpu, action.engine)->process->kick_fd());
    case Kind::kParkFailing:
      if (gpu->pool.found()) {
        spdlog::error("GPU {}: no engine lives; a request, {} s from now or later, will start one again",
                      gpu->ordinal, EnginePool::kDelayMaxMs / 1000);
      }
      return Park(gpu);
    case Kind::kPark: return Park(gpu);
    case Kind::kUnpark:
      spdlog::debug("GPU {}: asked for", gpu->ordinal);
      return placements_.Unpark(gpu->index);
  }
}

void GpuEngines::Order(Gpu* gpu, const EngineAction& action) {
  auto order = OrderFor(gpu->ordinal, action.delay_ms);
  order->gpu = gpu->index;
  order->engine = action.engine;
  order->spare = action.kind == EngineAction::Kind::kStartSpare;
  order->unseen = !gpu->pool.found();
  source_->Order(std::move(order));
}

void GpuEngines::Serve(Gpu* gpu, EngineId id) {
  Engine* engine = Find(gpu, id);
  EngineHandle* process = engine->process.get();
  engine->port = std::make_unique<EnginePort>(process->area(), process->kick_fd(), &watched_);
  FindPort(gpu);
  RegisterAll(gpu, process);
}

void GpuEngines::NoteHello(Gpu* gpu, EngineId id) {
  gpu->hello = Find(gpu, id)->process->hello();
  gpu->described = true;
  spdlog::info("GPU {}: found: {}", gpu->ordinal, gpu->hello.name);
  SayWhatEnginesDoNotGet();
}

void GpuEngines::Lose(Gpu* gpu, const std::string& reason) {
  const auto level = gpu->pool.found() ? spdlog::level::err : spdlog::level::debug;
  spdlog::log(level, "GPU {}: {}; its engine is replaced", gpu->ordinal, reason);
  MoveToCpu(placements_.LoseEngine(gpu->index));
}

void GpuEngines::Promote(Gpu* gpu, EngineId id) {
  EngineHandle* process = Find(gpu, id)->process.get();
  spdlog::info("GPU {}: the spare engine has taken over", gpu->ordinal);
  SignalEventfd(process->kick_fd());  // its idle time begins now
  const Placements::Regions regions = placements_.On(gpu->index);
  for (uint32_t region = 0; region < regions.size(); ++region) {
    if (!regions[region] || !process->Uses(region) || !placements_.Serve(region)) continue;
    listener_->OnPlacement(placements_.session(region), true);
  }
  RegisterAll(gpu, process);  // what the one before had not come to
}

void GpuEngines::Park(Gpu* gpu) {
  spdlog::debug("GPU {}: parked", gpu->ordinal);
  if (gpu->pool.found()) MoveToCpu(placements_.Park(gpu->index));
}

void GpuEngines::FindPort(Gpu* gpu) {
  const Engine* current = Find(gpu, gpu->pool.current());
  gpu->port = current == nullptr ? nullptr : current->port.get();
}

void GpuEngines::Wake(Session* session) {
  if (!session->placement().parked()) return;
  Gpu* gpu = gpus_[session->placement().gpu()].get();
  CarryOut(gpu, gpu->pool.Wanted(clock_->Now()));
}

// ---- whose memory they have ----

void GpuEngines::Attach(Session* session) {
  if (session->memory().layout.ring_count == 0) return;  // the window ring alone: the loop serves it
  const uint32_t index = placements_.ChooseGpu(session->pool());
  const bool in_a_pool = index != Placements::kNone;
  if (!in_a_pool || placements_.full()) {
    if (in_a_pool && !gpus_[index]->pool.found()) return;
    spdlog::warn("VM {} is served by the CPU: {}", session->vm_id(),
                 in_a_pool ? "the GPUs have all the VMs they can have" : "no GPU is in its pool");
    return;
  }
  Gpu* gpu = gpus_[index].get();
  const bool parked = gpu->pool.use() != GpuUse::kInUse && gpu->pool.found();
  const PlacedVm vm{session, session->mutable_placement(), session->vm_id()};
  const uint32_t region = placements_.Place(vm, index, parked);
  if (placements_.IsBlamed(session->vm_id())) {
    spdlog::warn("VM {} stays on the CPU: engines ended while they registered its memory before",
                 session->vm_id());
  }
  if (EngineHandle* current = ReadyProcess(gpu, gpu->pool.current())) Register(region, current);
}

bool GpuEngines::Release(Session* session) {
  const Placement& placement = session->placement();
  const uint32_t region = placement.region();
  if (region == Placement::kNone) return true;
  Gpu* gpu = gpus_[placement.gpu()].get();
  if (placement.state() != PlacementState::kReleasing) {
    if (placements_.BeginRelease(region)) listener_->OnPlacement(session, false);
    // Found before any of them is spoken to: one that turns out to be dead changes places with the other.
    const std::array<EngineHandle*, 2> ready{ReadyProcess(gpu, gpu->pool.current()),
                                             ReadyProcess(gpu, gpu->pool.spare())};
    for (EngineHandle* process : ready) {
      if (process != nullptr && process->Holds(region)) process->Unregister(region);
    }
  }
  if (AnyHolds(*gpu, region)) return false;
  placements_.EndRelease(region);
  return true;
}

void GpuEngines::Register(uint32_t region, EngineHandle* process) {
  if (!placements_.MayRegister(region) || process->Holds(region)) return;
  const SessionMemory& memory = placements_.session(region)->memory();
  process->Register(region, memory.layout, {memory.region_fd.get(), memory.rings_fd.get()});
}

// A spare engine gets what the current one has survived.
void GpuEngines::RegisterAll(Gpu* gpu, EngineHandle* process) {
  const EngineHandle* current = ReadyProcess(gpu, gpu->pool.current());
  const Placements::Regions regions = placements_.On(gpu->index);
  for (uint32_t region = 0; region < regions.size(); ++region) {
    if (regions[region] && (process == current || current->Uses(region))) Register(region, process);
  }
}

bool GpuEngines::AnyHolds(const Gpu& gpu, uint32_t region) {
  return std::any_of(gpu.engines.begin(), gpu.engines.end(),
                     [region](const Engine& engine) { return engine.process->Holds(region); });
}

// Whoever's memory ends engines stays on the CPU, also when it comes back under the same number.
void GpuEngines::Blame(const EngineHandle& process) {
  if (process.blamed_region() < 0) return;
  const auto region = static_cast<uint32_t>(process.blamed_region());
  const Session* session = placements_.session(region);
  if (session == nullptr || !placements_.Blame(region)) return;
  spdlog::warn("VM {} stays on the CPU: {} engines ended while they registered its memory", session->vm_id(),
               Placements::kEnginesEndedMax);
}

void GpuEngines::MoveToCpu(const Placements::Regions& regions) {
  for (uint32_t region = 0; region < regions.size(); ++region) {
    if (regions[region]) listener_->OnPlacement(placements_.session(region), false);
  }
}

void GpuEngines::MemoryMayBeFree() {
  const Placements::Regions regions = placements_.Releasing();
  for (uint32_t region = 0; region < regions.size(); ++region) {
    if (regions[region]) listener_->OnMemoryFree(placements_.session(region));
  }
}

// ---- what failed engines had ----

// A request that is cut into pieces is judged as a whole.
void GpuEngines::Recover(const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    Request* request = piece.request;
    if (request->repeatable && !request->in_slot) {
      again_.push_back(piece);
      continue;
    }
    if (request->repeatable) {
      Run(request, piece.ring->limits(), 0, 0);
    } else {
      request->code = VGPU_ERR_INTERRUPTED;
    }
    ended_.push_back(piece);
  }
  WorkersHaveRoom();
}

void GpuEngines::WorkersHaveRoom() {
  for (; !again_.empty() && cpu_.workers->HasRoom(); again_.pop_back()) cpu_.workers->Submit(again_.back());
}

void GpuEngines::CheckOverdue() {
  const int64_t watched_ns = watched_.Now();
  for (const auto& gpu : gpus_) {
    if (gpu->port == nullptr) continue;
    const int64_t since_ns = gpu->port->WaitingSince(watched_ns);
    if (since_ns == INT64_MAX || !gpu->pool.IsOverdue(since_ns, watched_ns)) continue;
    OnEngineFailed(ReadyProcess(gpu.get(), gpu->pool.current()),
                   fmt::format("no answer for {} ms", config_.timeout_ms));
  }
}

// ---- work ----

GpuEngines::Gpu& GpuEngines::GpuOf(const GuestRing& ring) const {
  return *gpus_[ring.session()->placement().gpu()];
}

uint32_t GpuEngines::SlotRoom(const GuestRing& ring) {
  assert(ring.session()->placement().on_device());
  return GpuOf(ring).port->AddRoom();
}

Plan GpuEngines::PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const {
  assert(ring.session()->placement().on_device());
  const bool throttled = GpuOf(ring).throttle.Throttles(ring.session()->priority(), now_ns);
  return PlanOnGpu(request, throttled, uint64_t{config_.copy_from_kib} << 10);
}

bool GpuEngines::HasRoom(const GuestRing& ring, const Plan& plan) const {
  return GpuOf(ring).port->HasJobRoom(plan.way == PieceWay::kThrottled);
}

void GpuEngines::Submit(const Piece& piece, const Plan& plan) {
  ++piece.ring->session()->gpu_pieces;
  const uint64_t bytes = (piece.end - piece.begin) * ElementBytes(piece.request->type);
  GpuOf(*piece.ring).port->SubmitJob(piece, bytes, plan.job_flags);
}

void GpuEngines::SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) {
  Session& session = *ring->session();
  Gpu& gpu = GpuOf(*ring);
  ++session.gpu_pieces;
  gpu.throttle.AddCame(session.priority(), now_ns);
  gpu.port->SubmitAdd(ring, request);
}

void GpuEngines::Flush() {
  for (const auto& gpu : gpus_) {
    if (gpu->port != nullptr) gpu->port->Flush();
  }
}

bool GpuEngines::polls() const {
  if (!ended_.empty()) return true;
  return std::any_of(gpus_.begin(), gpus_.end(),
                     [](const auto& gpu) { return gpu->port != nullptr && gpu->port->in_flight() != 0; });
}

void GpuEngines::Poll(std::vector<Piece>* finished) {
  if (!ended_.empty()) {
    finished->insert(finished->end(), ended_.begin(), ended_.end());
    ended_.clear();
  }
  for (const auto& gpu : gpus_) {
    if (gpu->port != nullptr) gpu->port->Poll(finished);
  }
  PollRetired(finished);
  if (++polls_ % kPollsPerCheck == 0) CheckOverdue();
}

// A resident kernel beside a hung one goes on to its last moment.
void GpuEngines::PollRetired(std::vector<Piece>* finished) {
  for (const auto& gpu : gpus_) {
    if (!gpu->pool.HasRetired()) [[likely]]
      continue;
    for (const Engine& engine : gpu->engines) {
      const bool is_retired = gpu->pool.life(engine.id) == EngineLife::kRetired;
      if (is_retired && engine.port != nullptr) engine.port->Poll(finished);
    }
  }
}

void GpuEngines::Rest() {
  for (const auto& gpu : gpus_) {
    if (gpu->port != nullptr) gpu->port->Rest();
  }
}

void GpuEngines::Describe(uint32_t pool, vgpu_device_info* info) const {
  for (const auto& gpu : gpus_) {
    if (!gpu->described || !placements_.Serves(gpu->index, pool)) continue;
    info->backend = VGPU_BACKEND_CUDA;
    info->memory_bytes = gpu->hello.memory_bytes;
    std::snprintf(info->name, sizeof info->name, "%s", gpu->hello.name);
    std::snprintf(info->driver, sizeof info->driver, "%s", gpu->hello.driver);
    return;
  }
  cpu_.describer->Describe(pool, info);
}

}  // namespace vgpu::mediator
