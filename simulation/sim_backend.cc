// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_backend.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <cstdio>

#include "api/codes.h"
#include "mediator/eventfd.h"
#include "mediator/guest_ring.h"
#include "mediator/operations.h"
#include "mediator/session.h"
#include "ring/memory.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {

using mediator::GuestRing;
using mediator::Piece;
using mediator::PieceWay;
using mediator::Plan;
using mediator::Request;
using mediator::Session;

namespace {

constexpr size_t kCpuJobsMax = 2;
constexpr size_t kGpuJobsMax = 4;
constexpr uint32_t kSlotsMax = 16;  // requests that need their slot only
// Short: who is of a low class has its turn, too.
constexpr uint32_t kCpuNs = 3'000;
constexpr uint32_t kGpuNs = 2'000;
constexpr uint32_t kEngineNs = 300'000;  // a registration, a start, an end

base::UniqueFd MakeEventfd() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

}  // namespace

SimBackend::SimBackend(mediator::EventLoop* loop, Surroundings* around)
    : loop_(loop), around_(around), finished_fd_(MakeEventfd()), engine_fd_(MakeEventfd()) {
  engine_watch_ = loop_->Watch(engine_fd_.get(), this);
  assert(engine_watch_ >= 0);
  seats_.AddGpu(0, {});
  life_ends_ns_ = Soon(kEngineNs);
}

SimBackend::~SimBackend() { loop_->Unwatch(engine_watch_); }

// ---- what happens by itself ----

void SimBackend::RunDue(Job* job) {
  const Piece& piece = job->piece;
  job->done = true;
  Run(piece.request, piece.begin, piece.end);
  if (!piece.request->in_slot) return;
  // The GPU answers in the slot; the daemon hears of it later.
  auto* done = const_cast<uint64_t*>(piece.ring->DoneWord(piece.request->idx));
  ring::RealMemory::StoreRelease(
      done, vgpu_word(piece.request->result, piece.ring->DoneSequence(piece.request->idx)));
}

void SimBackend::GoOn() {
  const int64_t now_ns = around_->now_ns();
  for (Job& job : cpu_) {
    if (job.done || job.due_ns > now_ns) continue;
    RunDue(&job);
    mediator::SignalEventfd(finished_fd_.get());
  }
  for (Job& job : gpu_) {
    if (!job.done && job.due_ns <= now_ns) RunDue(&job);
  }
  if (EngineEventDue()) mediator::SignalEventfd(engine_fd_.get());
}

void SimBackend::KillEngine() {
  if (life_ == EngineLife::kServing) killed_ = true;
}

bool SimBackend::EngineEventDue() const {
  const int64_t now_ns = around_->now_ns();
  const auto due = [now_ns](const Place& place) { return place.change_ns <= now_ns; };
  if (life_ == EngineLife::kServing) return killed_ || std::any_of(places_.begin(), places_.end(), due);
  return life_ != EngineLife::kParked && life_ends_ns_ <= now_ns;
}

int64_t SimBackend::NextNs() const {
  int64_t next_ns = kNever;
  for (const Job& job : cpu_) next_ns = std::min(next_ns, job.due_ns);
  if (life_ == EngineLife::kServing) {
    for (const Job& job : gpu_) next_ns = std::min(next_ns, job.due_ns);
    for (const Place& place : places_) next_ns = std::min(next_ns, place.change_ns);
    if (killed_) next_ns = std::min(next_ns, around_->now_ns());
  } else if (life_ != EngineLife::kParked) {
    next_ns = std::min(next_ns, life_ends_ns_);
  }
  return next_ns;
}

// ---- the engine's life, within the daemon's loop ----

void SimBackend::OnReady() {
  mediator::DrainEventfd(engine_fd_.get());
  if (!EngineEventDue()) return;
  if (life_ == EngineLife::kEnding) return Gone();
  if (life_ == EngineLife::kStarting) return Serve();
  if (killed_) return Fail();
  for (size_t i = places_.size(); i-- > 0;) {  // from the end: a place may go meanwhile
    if (i < places_.size() && places_[i].change_ns <= around_->now_ns()) Change(i);
  }
}

void SimBackend::Change(size_t place) {
  Session* session = places_[place].session;
  places_[place].change_ns = kNever;
  places_[place].registered = !places_[place].registered;
  around_->log.Add(places_[place].registered ? "registered" : "unregistered", session->vm_id());
  if (Releasing(*session)) return listener_->SeatFree(session);
  if (seats_.Serve(session->seat().region())) listener_->SetOnDevice(session, true);
}

// Its VMs go on with the CPU. What it has in flight waits until it is gone.
void SimBackend::Fail() {
  around_->log.Add("engine fails", gpu_.size());
  ++around_->interruptions;
  killed_ = false;
  life_ = EngineLife::kEnding;
  life_ends_ns_ = Soon(kEngineNs);
  for (Place& place : places_) place.change_ns = kNever;
  MoveToCpu(seats_.LoseEngine(0));
}

void SimBackend::MoveToCpu(const mediator::Seats::Regions& regions) {
  for (uint32_t region = 0; region < regions.size(); ++region) {
    if (regions[region]) listener_->SetOnDevice(seats_.session(region), false);
  }
}

bool SimBackend::Releasing(const Session& session) {
  return session.seat().state() == mediator::PlacementState::kReleasing;
}

void SimBackend::Gone() {
  around_->log.Add("engine gone", gpu_.size());
  for (Job& job : gpu_) Recover(&job);
  gpu_.clear();
  for (Place& place : places_) place.registered = false;
  if (around_->random.OneIn(3)) {
    life_ = EngineLife::kParked;
    SetParked(true);
  } else {
    life_ = EngineLife::kStarting;
    life_ends_ns_ = Soon(kEngineNs);
  }
  RunAgain();
  PlacesMayBeFree();
}

void SimBackend::Recover(Job* job) {
  const Outside outside;
  const Piece& piece = job->piece;
  if (!job->done && piece.request->repeatable) return again_.push_back(piece);
  if (!job->done) piece.request->code = VGPU_ERR_INTERRUPTED;
  ended_.push_back(piece);
}

void SimBackend::RunAgain() {
  const Outside outside;
  while (!again_.empty()) {
    const Piece piece = again_.back();
    if (piece.request->in_slot) {
      Run(piece.request, 0, 0);
      ended_.push_back(piece);
    } else if (cpu_.size() < kCpuJobsMax) {
      cpu_.push_back({piece, Soon(kCpuNs)});
    } else {
      return;  // Reap comes here again
    }
    again_.pop_back();
  }
}

void SimBackend::Serve() {
  around_->log.Add("engine serves");
  life_ = EngineLife::kServing;
  for (Place& place : places_) {
    if (!Releasing(*place.session)) place.change_ns = Soon(kEngineNs);
  }
}

void SimBackend::SetParked(bool parked) {
  if (parked) return MoveToCpu(seats_.Park(0));
  seats_.Unpark(0);
}

void SimBackend::Wake(Session*) {
  if (life_ != EngineLife::kParked) return;
  around_->log.Add("engine wanted");
  SetParked(false);
  life_ = EngineLife::kStarting;
  life_ends_ns_ = Soon(kEngineNs);
}

// ---- places ----

void SimBackend::Attach(Session* session) {
  const Outside outside;
  places_.push_back({session});
  seats_.Place({session, session->placement_record(), session->vm_id()}, 0, life_ == EngineLife::kParked);
  if (life_ == EngineLife::kServing) places_.back().change_ns = Soon(kEngineNs);
}

bool SimBackend::Release(Session* session) {
  const auto place = std::find_if(places_.begin(), places_.end(),
                                  [session](const Place& entry) { return entry.session == session; });
  if (place == places_.end()) throw Violation{"a place was freed twice"};
  if (!Releasing(*session)) {
    if (seats_.BeginRelease(session->seat().region())) listener_->SetOnDevice(session, false);
    const bool told = place->registered && life_ == EngineLife::kServing;
    place->change_ns = told ? Soon(kEngineNs) : kNever;
  }
  if (place->registered) return false;
  places_.erase(place);
  seats_.EndRelease(session->seat().region());
  return true;
}

void SimBackend::PlacesMayBeFree() {
  for (size_t i = places_.size(); i-- > 0;) {
    if (i < places_.size() && Releasing(*places_[i].session)) listener_->SeatFree(places_[i].session);
  }
}

// ---- work ----

bool SimBackend::OnGpu(const GuestRing& ring, const Request& request) {
  return ring.session()->seat().on_device() && request.op->gpu_job != mediator::kNotOnGpu;
}

bool SimBackend::HasRoom(const GuestRing&, const Plan& plan) const {
  if (plan.way == PieceWay::kCpu) return again_.empty() && cpu_.size() < kCpuJobsMax;
  const auto in_pieces = [](const Job& job) { return !job.piece.request->in_slot; };
  return static_cast<size_t>(std::count_if(gpu_.begin(), gpu_.end(), in_pieces)) < kGpuJobsMax;
}

// Three pieces, however short; but for what the loop would run by itself, which is never cut.
Plan SimBackend::PlanPiece(const GuestRing& ring, const Request& request, int64_t) const {
  const uint64_t elements = request.inline_run ? request.count + 1 : request.count / 3 + 1;
  return {OnGpu(ring, request) ? PieceWay::kDirect : PieceWay::kCpu, 0, elements};
}

void SimBackend::Submit(const Piece& piece, const Plan& plan) {
  const Outside outside;
  if (plan.way == PieceWay::kCpu) return cpu_.push_back({piece, Soon(kCpuNs)});
  assert(life_ == EngineLife::kServing);
  gpu_.push_back({piece, Soon(kGpuNs)});
}

uint32_t SimBackend::SlotRoom(const GuestRing& ring) {
  assert(life_ == EngineLife::kServing && ring.session()->seat().on_device());
  const auto in_slot = [](const Job& job) { return job.piece.request->in_slot; };
  const auto used = static_cast<uint32_t>(std::count_if(gpu_.begin(), gpu_.end(), in_slot));
  return kSlotsMax - std::min(kSlotsMax, used);
}

void SimBackend::SubmitSlot(GuestRing* ring, Request* request, int64_t) {
  const Outside outside;
  assert(life_ == EngineLife::kServing);
  gpu_.push_back({Piece{ring, request, 0, 0}, Soon(kGpuNs)});
}

bool SimBackend::polls() const { return !ended_.empty() || (life_ == EngineLife::kServing && !gpu_.empty()); }

void SimBackend::Poll(std::vector<Piece>* finished) {
  const Outside outside;
  finished->insert(finished->end(), ended_.begin(), ended_.end());
  ended_.clear();
  if (around_->random.OneIn(3)) return;  // not seen yet
  for (const Job& job : gpu_) {
    if (job.done) finished->push_back(job.piece);
  }
  std::erase_if(gpu_, [](const Job& job) { return job.done; });
}

void SimBackend::Reap(std::vector<Piece>* finished) {
  const Outside outside;
  mediator::DrainEventfd(finished_fd_.get());
  for (const Job& job : cpu_) {
    if (job.done) finished->push_back(job.piece);
  }
  std::erase_if(cpu_, [](const Job& job) { return job.done; });
  RunAgain();
}

void SimBackend::Describe(uint32_t, vgpu_device_info* info) const {
  info->backend = VGPU_BACKEND_CPU;
  std::snprintf(info->name, sizeof info->name, "simulated");
  std::snprintf(info->driver, sizeof info->driver, "none");
}

}  // namespace vgpu::simulation
