// SPDX-License-Identifier: Apache-2.0
#include "simulation/watched_gpus.h"

#include <algorithm>
#include <span>
#include <utility>

#include "mediator/guest_ring.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {

using mediator::GuestRing;
using mediator::Piece;
using mediator::Plan;
using mediator::Request;
using mediator::Session;

namespace {

// Some requests of a VM are nothing for a GPU; so many in a row are not.
constexpr uint32_t kUnaskedMax = 100;
// A GPU whose engines do not live stays parked for so long.
constexpr int64_t kParkedNs = 30'000'000'000;

}  // namespace

uint64_t WatchedGpus::TakenBy(const Session& session) {
  uint64_t taken = 0;
  for (const auto& ring : session.rings()) taken += ring->counters().taken;
  return taken;
}

void WatchedGpus::CheckTurn() {
  const uint64_t asked = std::exchange(asked_, 0);
  for (Tenant& tenant : tenants_) {
    const Session& session = *tenant.session;
    const auto taken =
        static_cast<uint32_t>(TakenBy(session) - std::exchange(tenant.taken, TakenBy(session)));
    if (!session.seat().parked()) {
      tenant.unasked = 0;
      tenant.asked_ns = kNever;
    } else if ((asked >> session.seat().gpu() & 1) != 0) {
      tenant.unasked = 0;
    } else {
      tenant.unasked += taken;
    }
    if (tenant.unasked > kUnaskedMax) throw Violation{"a parked GPU has requests, and nobody asks for it"};
  }
}

// ---- pieces ----

Plan WatchedGpus::PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const {
  Plan plan = inner_->PlanPiece(ring, request, now_ns);
  plan.elements = std::min(plan.elements, request.count / 3 + 1);
  return plan;
}

void WatchedGpus::Submit(const Piece& piece, const Plan& plan) {
  {
    const Outside outside;
    book_->Given(piece);
  }
  inner_->Submit(piece, plan);
}

void WatchedGpus::SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) {
  {
    const Outside outside;
    book_->Given({ring, request, 0, 0});
  }
  inner_->SubmitSlot(ring, request, now_ns);
}

void WatchedGpus::Poll(std::vector<Piece>* finished) {
  const size_t before = finished->size();
  inner_->Poll(finished);
  book_->CameBack(std::span(*finished).subspan(before));
}

// ---- memory ----

void WatchedGpus::Attach(Session* session) {
  {
    const Outside outside;
    tenants_.push_back({session, TakenBy(*session)});
  }
  inner_->Attach(session);
}

bool WatchedGpus::Release(Session* session) {
  const auto tenant = std::find_if(tenants_.begin(), tenants_.end(),
                                   [session](const Tenant& entry) { return entry.session == session; });
  if (tenant == tenants_.end()) throw Violation{"a place was freed twice"};
  if (book_->Any([session](const Piece& piece) { return piece.ring->session() == session; })) {
    throw Violation{"a place is to be freed, and a piece of its VM is under way"};
  }
  const int gpu = session->seat().ordinal();
  const uint32_t region = session->seat().region();
  const bool was_placed = region != mediator::Placement::kNone;
  if (!inner_->Release(session)) return false;
  if (was_placed && engines_->AnyHolds(gpu, region))
    throw Violation{"a place was freed, and an engine has its memory"};
  tenants_.erase(std::find_if(tenants_.begin(), tenants_.end(),
                              [session](const Tenant& entry) { return entry.session == session; }));
  return true;
}

// If nothing stands in the way it does wake now.
void WatchedGpus::Wake(Session* session) {
  const auto tenant = std::find_if(tenants_.begin(), tenants_.end(),
                                   [session](const Tenant& entry) { return entry.session == session; });
  if (tenant == tenants_.end()) throw Violation{"a GPU was asked for by somebody who has no place"};
  if (session->seat().parked()) asked_ |= uint64_t{1} << session->seat().gpu();
  if (tenant->asked_ns == kNever) tenant->asked_ns = around_->now_ns();
  const bool patient = around_->now_ns() - tenant->asked_ns > kParkedNs;
  const bool in_the_way = !engines_->none(session->seat().ordinal());
  inner_->Wake(session);
  if (patient && !in_the_way && session->seat().parked()) {
    throw Violation{"a GPU that is parked does not wake"};
  }
}

}  // namespace vgpu::simulation
