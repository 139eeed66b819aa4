// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_port.h"

#include <algorithm>
#include <cassert>

#include "api/codes.h"
#include "gpu/batch_abi.h"
#include "mediator/lane/guest_ring.h"
#include "mediator/lane/session.h"
#include "mediator/loop/eventfd.h"
#include "mediator/sched/policy.h"

namespace vgpu::mediator {
namespace {

using Memory = ring::RealMemory;

static_assert(VGPU_RESIDENT_SLOT_WORDS == ring::kSlotWords);
static_assert(1u << VGPU_RESIDENT_SLOT_BITS == VGPU_ENTRIES_MAX);

// From 1, and never 0, as the kernel counts.
uint32_t LapOf(uint64_t serial) {
  return static_cast<uint32_t>(serial / VGPU_RESIDENT_ENTRIES % 0xffffffff) + 1;
}

// Where the ring's arena begins: bytes from the start of the region, which an engine has mapped elsewhere.
uint64_t ArenaInRegion(const GuestRing& ring) {
  const vgpu_layout& layout = ring.session()->memory().layout;
  return layout.ring_off + ring.index() * layout.ring_stride + layout.arena_off;
}

}  // namespace

EnginePort::EnginePort(engine::Area* area, int kick_fd, WatchedClock* clock)
    : area_(area),
      kick_fd_(kick_fd),
      clock_(clock),
      jobs_(ring::RingAt(area->jobs, engine::kJobEntries), engine::kJobEpoch) {}

// ---- the resident kernel ----

// May it be given requests? The engine stops it only after it has said kLeaving and then found resident_users
// 0, so after this fence either it sees our word or we see its.
bool EnginePort::UseResident() {
  const uint64_t state = Memory::LoadAcquire(&area_->resident_state);
  if (vgpu_word_data(state) != engine::kHere) {
    if (using_resident_ && adds_in_flight() == 0) StopUsingResident();
    return false;
  }
  if (using_resident_) return true;
  Memory::StoreRelaxed(&area_->resident_users, 1);
  Memory::FullFence<ring::Fence::kPublish>();
  const uint64_t sure = Memory::LoadAcquire(&area_->resident_state);
  if (vgpu_word_data(sure) != engine::kHere) {
    Memory::StoreRelease(&area_->resident_users, 0);
    return false;
  }
  using_resident_ = true;
  if (vgpu_word_seq(sure) != generation_) {  // a kernel that has just come counts from the start
    generation_ = vgpu_word_seq(sure);
    added_ = answered_ = 0;
  }
  return true;
}

void EnginePort::StopUsingResident() {
  if (!using_resident_ || adds_in_flight() != 0) return;
  using_resident_ = false;
  Memory::StoreRelease(&area_->resident_users, 0);
}

void EnginePort::GiveToResident(GuestRing* ring, Request* request) {
  const uint32_t e = static_cast<uint32_t>(added_ % VGPU_RESIDENT_ENTRIES);
  const uint32_t lap = LapOf(added_);
  const uint32_t slot = request->idx & (ring->entries() - 1);
  const uint32_t slots = ring->session()->placement().region() * VGPU_RINGS_MAX + ring->index();
  uint64_t* word = area_->resident.entries[e].word;
  if (added_ == answered_) resident_since_ns_ = 0;
  adds_[e] = {ring, request};
  ++added_;
  ++asked_total_;
  Memory::StoreRelaxed(word + VGPU_RESIDENT_TO, vgpu_word(slots << VGPU_RESIDENT_SLOT_BITS | slot, lap));
  Memory::StoreRelaxed(word + VGPU_RESIDENT_TAG, vgpu_word(ring->DoneSequence(request->idx), lap));
  Memory::StoreRelaxed(word + VGPU_RESIDENT_A, vgpu_word(vgpu_word_data(request->operands), lap));
  Memory::StoreRelease(word + VGPU_RESIDENT_B, vgpu_word(vgpu_word_seq(request->operands), lap));
}

uint32_t EnginePort::AddRoom() {
  adds_go_there_ = UseResident();
  if (adds_go_there_) return VGPU_RESIDENT_ENTRIES - adds_in_flight();
  const uint32_t room = engine::kJobEntries - jobs_.outstanding();
  return room > policy::kJobsKeptForPieces ? room - policy::kJobsKeptForPieces : 0;
}

void EnginePort::SubmitAdd(GuestRing* ring, Request* request) {
  if (adds_go_there_) return GiveToResident(ring, request);
  const uint64_t done = static_cast<uint64_t>(reinterpret_cast<const char*>(ring->DoneWord(request->idx)) -
                                              ring->session()->memory().region.data());
  Stage({ring, request, 0, 0}, VGPU_JOB_ADD, 0,
        {0, request->operands, done, ring->DoneSequence(request->idx), 0}, 0);
}

// ---- jobs ----

void EnginePort::SubmitJob(const Piece& piece, uint64_t bytes, uint32_t flags) {
  const Request& request = *piece.request;
  const uint64_t element = piece.end == piece.begin ? 0 : bytes / (piece.end - piece.begin);
  const uint64_t begin = ArenaInRegion(*piece.ring) + piece.begin * element;
  const Offsets& at = request.at;
  Stage(piece, request.op->gpu_job + request.type, flags,
        {0, piece.end - piece.begin, begin + at.a, begin + at.b, begin + at.c}, bytes);
}

void EnginePort::Stage(const Piece& piece, uint32_t kind, uint32_t flags,
                       const std::array<uint64_t, engine::kJobArgs>& args, uint64_t bytes) {
  const Session& session = *piece.ring->session();
  std::array<uint64_t, engine::kJobArgs> all = args;
  all[0] = vgpu_word(session.priority(), session.placement().region());
  const uint32_t idx = jobs_.Stage(kind, flags, all.data(), engine::kJobArgs);
  job_table_[idx % engine::kJobEntries] = {piece, bytes, clock_->Now()};
  job_bytes_ += bytes;
}

void EnginePort::Flush() {
  if (asked_told_ != asked_total_) Memory::StoreRelaxed(&area_->resident_asked, asked_told_ = asked_total_);
  if (jobs_.Publish()) SignalEventfd(kick_fd_);
}

// ---- answers ----

// Before what has finished is answered: was it computed from pages that are gone?
void EnginePort::NoteLost(Session* session) const {
  if (area_->lost[session->placement().region()].load(std::memory_order_relaxed) == 0) [[likely]]
    return;
  if (!session->memory_lost()) session->LoseMemory();
}

void EnginePort::Poll(std::vector<Piece>* finished) {
  while (answered_ != added_) {
    const uint32_t e = static_cast<uint32_t>(answered_ % VGPU_RESIDENT_ENTRIES);
    const uint64_t word = Memory::LoadAcquire(&area_->resident.finished[e]);
    if (vgpu_word_seq(word) != LapOf(answered_)) break;
    const Add add = adds_[e];
    add.request->result = vgpu_word_data(word);
    NoteLost(add.ring->session());
    finished->push_back({add.ring, add.request, 0, 0});
    Memory::Prefetch(add.ring->DoneWord(add.request->idx));
    ++answered_;
    resident_since_ns_ = 0;
  }
  if (using_resident_ && answered_ == added_) UseResident();  // lets go of a kernel that wants to leave
  const uint32_t end = jobs_.prod();
  for (uint32_t idx = jobs_.oldest(); idx != end; ++idx) {
    ring::Answer answer;
    if (!jobs_.Take(idx, &answer)) continue;
    const Job& job = job_table_[idx % engine::kJobEntries];
    Request* const request = job.piece.request;
    if (request->op->in_slot != nullptr) request->result = answer.data;
    if (answer.code != VGPU_OK) [[unlikely]]
      request->code = answer.code;  // the engine has refused it
    assert(job.bytes <= job_bytes_);
    job_bytes_ -= job.bytes;
    NoteLost(job.piece.ring->session());
    finished->push_back(job.piece);
    finished->back().gpu_ns = Memory::LoadRelaxed(&area_->job_when[idx % engine::kJobEntries]);
  }
}

int64_t EnginePort::WaitingSince(int64_t now_ns) {
  int64_t since_ns = INT64_MAX;
  if (answered_ != added_) {
    if (resident_since_ns_ == 0) resident_since_ns_ = now_ns;
    since_ns = resident_since_ns_;
  }
  if (jobs_.outstanding() != 0) {
    since_ns = std::min(since_ns, job_table_[jobs_.oldest() % engine::kJobEntries].since_ns);
  }
  return since_ns;
}

void EnginePort::TakeAll(std::vector<Piece>* pieces) {
  for (; answered_ != added_; ++answered_) {
    const Add& add = adds_[answered_ % VGPU_RESIDENT_ENTRIES];
    pieces->push_back({add.ring, add.request, 0, 0});
  }
  const uint32_t end = jobs_.prod();
  for (uint32_t idx = jobs_.oldest(); idx != end; ++idx) {
    if (jobs_.Outstanding(idx)) pieces->push_back(job_table_[idx % engine::kJobEntries].piece);
  }
}

}  // namespace vgpu::mediator
