// SPDX-License-Identifier: Apache-2.0
#include "serve/journal.h"

#include <cstring>

#include "base/mutant.h"

namespace vgpu::serve {

void Journal::BeginEpoch(uint32_t old, uint64_t word) {
  VGPU_CRASH_POINT("before_epoch_journal");
  const bool too_early = VGPU_MUTANT("journal_before_epoch");
  Store(&shared_->epoch, too_early ? word : vgpu_word(VGPU_EPOCH_CLOSED, old));
  if (too_early) VGPU_CRASH_POINT("within_epoch_journal");
  Store(&shared_->cons, 0);
  VGPU_CRASH_POINT("within_epoch_journal");
  std::memset(shared_->started, 0, entries_ * sizeof shared_->started[0]);
  Store(&shared_->epoch, word);
  VGPU_CRASH_POINT("after_epoch_journal");
}

}  // namespace vgpu::serve
