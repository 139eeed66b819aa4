// SPDX-License-Identifier: Apache-2.0
// Every piece that was given to what computes comes back once, whoever dies in between.
#ifndef VGPU_SIMULATION_PIECE_BOOK_H_
#define VGPU_SIMULATION_PIECE_BOOK_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "mediator/lane/compute.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class PieceBook {
 public:
  // `around` outlives this.
  explicit PieceBook(const Surroundings* around) : around_(around) {}

  // The daemon has given it away; or has given it to somebody else, since the first one has died.
  void Given(const mediator::Piece& piece) {
    if (Find(piece) == entries_.end()) entries_.push_back({piece, around_->steps});
  }
  // These came back. Throws Violation.
  void CameBack(std::span<const mediator::Piece> pieces) {
    for (const mediator::Piece& piece : pieces) {
      const auto entry = Find(piece);
      if (entry == entries_.end()) throw Violation{"a piece came back twice, or was never given"};
      *entry = entries_.back();
      entries_.pop_back();
    }
  }
  // Is any under way of which this is true?
  template <class Predicate>
  bool Any(Predicate predicate) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const Entry& entry) { return predicate(entry.piece); });
  }
  // None is under way for too long. Throws Violation.
  void CheckAge() const {
    const auto old = [this](const Entry& entry) { return around_->steps - entry.step > kAgeMax; };
    if (std::any_of(entries_.begin(), entries_.end(), old)) throw Violation{"a piece was lost"};
  }
  // The daemon is gone, and all pieces with it.
  void Clear() { entries_.clear(); }

 private:
  static constexpr uint64_t kAgeMax = 15'000;  // steps

  struct Entry {
    mediator::Piece piece;
    uint64_t step;  // when it was given
  };

  std::vector<Entry>::iterator Find(const mediator::Piece& piece) {
    return std::find_if(entries_.begin(), entries_.end(), [&piece](const Entry& entry) {
      return entry.piece.request == piece.request && entry.piece.begin == piece.begin;
    });
  }

  const Surroundings* const around_;
  std::vector<Entry> entries_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_PIECE_BOOK_H_
