// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/guest_ring.h"

#include <cassert>
#include <utility>

namespace vgpu::mediator {

using serve::Iteration;

GuestRing::GuestRing(Session* session, RingSession* host, uint32_t index, const serve::RingPlace& place,
                     RingService service, PeerFd kick, PeerFd call)
    : RingServer(place, this, std::move(service)),
      session_(session),
      host_(host),
      index_(index),
      kick_(std::move(kick)),
      call_(std::move(call)) {}

bool GuestRing::Advance(uint32_t slots) {
  if (!Step(slots)) return false;
  Call();  // whoever waits for this, or sleeps on the ring that is gone
  return true;
}

bool GuestRing::TookForGpu(uint32_t taken) const {
  return AnyOfTaken(taken, [](const Request& request) {
    return request.op != nullptr && request.op->gpu_job != kNotOnGpu;
  });
}

uint32_t GuestRing::SubmitSlots(uint32_t max, Gpus* gpus, const Iteration& iteration) {
  return StartSlots(max, iteration,
                    [&](Request* request) { gpus->SubmitSlot(this, request, iteration.now_ns); });
}

size_t GuestRing::SlotsFinished(std::span<const Piece> pieces, const Iteration& iteration) {
  auto piece = pieces.begin();
  return RingServer::SlotsFinished(iteration, [&]() -> Request* {
    const bool another = piece == pieces.end() || piece->ring != this || !piece->request->in_slot;
    return another ? nullptr : (piece++)->request;
  });
}

bool GuestRing::CutPiece(uint64_t length, const Iteration& iteration, Piece* piece) {
  assert(length != 0);
  const Cut cut = NextPiece(length, iteration);
  *piece = {this, cut.request, cut.begin, cut.end};
  return cut.more;
}

bool GuestRing::PieceCameBack(const Piece& piece, const Iteration& iteration) {
  assert(piece.ring == this && !piece.request->in_slot && piece.end <= piece.request->next);
  if (iteration.trace != nullptr && piece.gpu_ns != 0) [[unlikely]] {
    TraceStep(iteration, serve::TraceEvent::kDoneByGpu, *piece.request, static_cast<uint32_t>(piece.begin),
              static_cast<int64_t>(piece.gpu_ns));
  }
  return PieceFinished(piece.request, iteration);
}

// ---- waking ----

void GuestRing::OnReady() {
  host_->DrainKick(kick_.get());
  ++counters_.kicks;
  idle_kicks = counters_.taken == taken_at_kick_ ? idle_kicks + 1 : 0;
  taken_at_kick_ = counters_.taken;
  host_->RingKicked(this);
}

}  // namespace vgpu::mediator
