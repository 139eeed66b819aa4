// SPDX-License-Identifier: Apache-2.0
#include "simulation/watched_gpus.h"

#include <algorithm>
#include <span>
#include <utility>

#include "mediator/lane/guest_ring.h"
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

void WatchedGpus::CheckIteration() {
  const uint64_t asked = std::exchange(asked_, 0);
  for (PlacedVm& vm : placed_) {
    const Session& session = *vm.session;
    const auto taken = static_cast<uint32_t>(TakenBy(session) - std::exchange(vm.taken, TakenBy(session)));
    if (!session.placement().parked()) {
      vm.unasked = 0;
      vm.asked_ns = kNever;
    } else if ((asked >> session.placement().gpu() & 1) != 0) {
      vm.unasked = 0;
    } else {
      vm.unasked += taken;
    }
    if (vm.unasked > kUnaskedMax) throw Violation{"a parked GPU has requests, and nobody asks for it"};
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
    placed_.push_back({session, TakenBy(*session)});
  }
  inner_->Attach(session);
}

std::vector<WatchedGpus::PlacedVm>::iterator WatchedGpus::Find(const Session* session) {
  return std::find_if(placed_.begin(), placed_.end(),
                      [session](const PlacedVm& vm) { return vm.session == session; });
}

bool WatchedGpus::Release(Session* session) {
  const auto vm = Find(session);
  if (vm == placed_.end()) throw Violation{"a place was freed twice"};
  if (book_->Any([session](const Piece& piece) { return piece.ring->session() == session; })) {
    throw Violation{"a place is to be freed, and a piece of its VM is under way"};
  }
  const int gpu = session->placement().ordinal();
  const uint32_t region = session->placement().region();
  const bool was_placed = region != mediator::Placement::kNone;
  if (!inner_->Release(session)) return false;
  if (was_placed && engines_->AnyHolds(gpu, region))
    throw Violation{"a place was freed, and an engine has its memory"};
  placed_.erase(Find(session));  // it may have moved meanwhile
  return true;
}

// If nothing stands in the way it does wake now.
void WatchedGpus::Wake(Session* session) {
  const auto vm = Find(session);
  if (vm == placed_.end()) throw Violation{"a GPU was asked for by somebody who has no place"};
  if (session->placement().parked()) asked_ |= uint64_t{1} << session->placement().gpu();
  if (vm->asked_ns == kNever) vm->asked_ns = around_->now_ns();
  const bool patient = around_->now_ns() - vm->asked_ns > kParkedNs;
  const bool in_the_way = !engines_->none(session->placement().ordinal());
  inner_->Wake(session);
  if (patient && !in_the_way && session->placement().parked()) {
    throw Violation{"a GPU that is parked does not wake"};
  }
}

}  // namespace vgpu::simulation
