// SPDX-License-Identifier: Apache-2.0
#include "guest/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/duration.h"

namespace vgpu::guest {
namespace {

using std::chrono::nanoseconds;

// Above this, a pause is an emulator leaving its loop: looking again at once is the cheaper way to wait.
constexpr uint64_t kRelaxMaxNs = 75;

// How long a stop may go unnoticed: no longer than a person does.
constexpr std::chrono::milliseconds kStopCheck{100};

// May this pass when the mediator is started again?
bool MayPass(const Error& error) {
  return error.code == VGPU_ERR_UNAVAILABLE || error.code == VGPU_ERR_NO_PERMISSION;
}

int64_t Nanoseconds(Clock::duration duration) {
  return std::chrono::duration_cast<nanoseconds>(duration).count();
}

// Copies out of shared memory with one 8-byte load a word: the region may be mapped uncached.
void CopyWords(void* to, const void* from, size_t bytes) {
  auto* target = static_cast<uint64_t*>(to);
  const auto* source = static_cast<const uint64_t*>(from);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) target[i] = ring::RealMemory::LoadRelaxed(source + i);
}

// Lets some time pass while the mediator carries out an epoch request, which has no call of its own.
Result<void> RestForEpoch(Transport& transport, uint32_t ring_idx, const PolledWait& polled_wait,
                          TimePoint deadline) {
  if (!transport.can_sleep()) {
    polled_wait.Step(deadline);
    return {};
  }
  const TimePoint now = Clock::now();
  const TimePoint until = now + std::max<nanoseconds>(polled_wait.Nap(now), std::chrono::microseconds(20));
  if (transport.SleepUntilCall(ring_idx, std::min(until, deadline)) == Wake::kLinkLost) {
    return transport.AwaitLink(deadline);
  }
  return {};
}

// Asks for a new epoch, open or closed, and waits until the mediator has carried it out. Returns the epoch.
Result<uint32_t> Handshake(Transport& transport, uint32_t ring_idx, const ring::RingRef<Client::Memory>& ring,
                           bool open, TimePoint deadline) {
  const TimePoint begin = Clock::now();
  const uint32_t epoch = ring::RequestEpoch(ring, open);
  transport.Kick(ring_idx);
  const PolledWait polled_wait(begin);
  uint32_t state = VGPU_EPOCH_CLOSED;
  while (!ring::EpochAnswered(ring, epoch, &state)) {
    const uint32_t link = transport.ring_state();
    if (link == VGPU_RING_STATE_FENCED) return Fail(VGPU_ERR_FENCED, ExplainCode(VGPU_ERR_FENCED));
    if (link == VGPU_RING_STATE_QUARANTINED)
      return Fail(VGPU_ERR_QUARANTINED, ExplainCode(VGPU_ERR_QUARANTINED));
    if (link > VGPU_RING_STATE_QUARANTINED) return tl::make_unexpected(DeviceGone());
    if (Clock::now() >= deadline) {
      if (link == VGPU_RING_STATE_NO_MEDIATOR) {
        return tl::make_unexpected(transport.WhyUnattached(ExplainCode(VGPU_ERR_UNAVAILABLE)));
      }
      return Fail(
          VGPU_ERR_TIMEOUT,
          fmt::format("the mediator did not {} ring {} within {}: look at its load with `vgpuctl status`",
                      open ? "open" : "close", ring_idx, base::DurationText(Clock::now() - begin)));
    }
    if (auto rested = RestForEpoch(transport, ring_idx, polled_wait, deadline); !rested) {
      return tl::make_unexpected(rested.error());
    }
  }
  if (state == VGPU_EPOCH_FENCED) return Fail(VGPU_ERR_FENCED, ExplainCode(VGPU_ERR_FENCED));
  if (state != (open ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED)) {
    return Fail(VGPU_ERR_RESET, ExplainCode(VGPU_ERR_RESET));
  }
  return epoch;
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : arena_(std::exchange(other.arena_, nullptr)),
      offset_(other.offset_),
      bytes_(other.bytes_),
      data_(other.data_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(arena_, other.arena_);
  std::swap(offset_, other.offset_);
  std::swap(bytes_, other.bytes_);
  std::swap(data_, other.data_);
  return *this;
}

Buffer::~Buffer() {
  if (arena_ != nullptr) arena_->Free(offset_);
}

Client::Client(std::shared_ptr<Transport> transport, uint32_t ring_idx, ring::RingRef<Memory> ring,
               uint32_t epoch)
    : producer_(ring, epoch),
      ring_idx_(ring_idx),
      relax_(MeasureRelaxNs() <= kRelaxMaxNs),
      stash_full_(ring.entries()),
      stash_(ring.entries()),
      transport_(std::move(transport)),
      ring_(ring),
      arena_(transport_->layout().arena_bytes),
      arena_data_(transport_->region() + transport_->layout().ring_off +
                  uint64_t{ring_idx} * transport_->layout().ring_stride + transport_->layout().arena_off),
      arena_bytes_(transport_->layout().arena_bytes) {}

Result<std::unique_ptr<Client>> Client::Open(std::shared_ptr<Transport> transport, uint32_t ring_idx,
                                             TimePoint deadline) {
  if (transport->region_error()) return tl::make_unexpected(*transport->region_error());
  if (transport->region() == nullptr) {
    return Fail(VGPU_ERR_UNSUPPORTED,
                fmt::format("{} has no ring (ring=off): give the VM a ring, or use the register window "
                            "(`vgpu-client regs --add A B`)",
                            transport->description()));
  }
  const vgpu_layout& layout = transport->layout();
  if (ring_idx >= layout.ring_count) {
    return Fail(VGPU_ERR_BAD_ARGUMENT, fmt::format("there is no ring {}: {} has rings 0 to {}", ring_idx,
                                                   transport->description(), layout.ring_count - 1));
  }
  if (auto claimed = transport->ClaimRing(ring_idx); !claimed) return tl::make_unexpected(claimed.error());
  const auto ring =
      ring::RingAt(transport->region() + layout.ring_off + ring_idx * layout.ring_stride, layout.entries);
  auto ready = transport->AwaitLink(deadline).and_then(
      [&] { return Handshake(*transport, ring_idx, ring, /*open=*/true, deadline); });
  if (!ready) {
    transport->ReleaseRing(ring_idx);
    return tl::make_unexpected(ready.error());
  }
  return std::unique_ptr<Client>(new Client(std::move(transport), ring_idx, ring, *ready));
}

Client::~Client() {
  if (closed_) return;
  ring::RequestEpoch(ring_, /*open=*/false);
  transport_->Kick(ring_idx_);
  transport_->ReleaseRing(ring_idx_);
}

Result<void> Client::Close(TimePoint deadline) {
  closed_ = true;
  auto epoch = Handshake(*transport_, ring_idx_, ring_, /*open=*/false, deadline);
  transport_->ReleaseRing(ring_idx_);
  if (!epoch) return tl::make_unexpected(epoch.error());
  return {};
}

void Client::Kick() {
  ++kicks_;
  transport_->Kick(ring_idx_);
}

bool Client::PollAny(uint32_t* idx, Answer* answer) {
  if (stashed_ != 0) {
    const auto full = std::find(stash_full_.begin(), stash_full_.end(), 1);
    *idx = stash_[static_cast<size_t>(full - stash_full_.begin())].idx;
    return Unstash(*idx, answer);
  }
  for (*idx = producer_.oldest(); *idx != producer_.prod(); ++*idx) {
    if (producer_.Take(*idx, answer)) return true;
  }
  return false;
}

// True until its answer was taken. The order matters: an answer may arrive between the two looks.
bool Client::Outstanding(uint32_t idx) const {
  if (stashed_ != 0 && stash_full_[Slot(idx)] && stash_[Slot(idx)].idx == idx) return true;
  if (idx - producer_.oldest() >= producer_.outstanding()) return false;
  const bool answer_in_slot = producer_.HasAnswer(idx);
  return !answer_in_slot || producer_.Answered(idx);
}

void Client::StashAnswers() {
  Answer answer;
  for (uint32_t idx = producer_.oldest(); idx != producer_.prod(); ++idx) {
    if (!producer_.Take(idx, &answer)) continue;
    stash_[Slot(idx)] = {idx, answer};
    stash_full_[Slot(idx)] = 1;
    ++stashed_;
  }
}

bool Client::Unstash(uint32_t idx, Answer* answer) {
  const uint32_t slot = Slot(idx);
  if (!stash_full_[slot] || stash_[slot].idx != idx) return false;
  *answer = stash_[slot].answer;
  stash_full_[slot] = 0;
  --stashed_;
  return true;
}

bool Client::SpinFor(uint32_t idx, TimePoint until, Answer* answer) {
  constexpr int kPollsPerClock = 16;
  do {
    for (int polls = 0; polls < kPollsPerClock; ++polls) {
      if (Poll(idx, answer)) return true;
      Relax();
    }
  } while (Clock::now() < until);
  return false;
}

Result<Answer> Client::WaitLong(uint32_t idx, TimePoint deadline, const std::atomic<bool>* stop) {
  if (!Outstanding(idx)) {
    return Fail(
        VGPU_ERR_BAD_ARGUMENT,
        fmt::format("request {} is not outstanding: it was never submitted, or its answer was taken", idx));
  }
  const TimePoint begin = Clock::now();
  const nanoseconds spin_time(transport_->can_sleep() ? spin_.SpinNs(Nanoseconds(begin.time_since_epoch()))
                                                      : 0);
  Answer answer;
  if (spin_time.count() > 0 && SpinFor(idx, std::min(begin + spin_time, deadline), &answer)) {
    spin_.AnsweredSpinning(Nanoseconds(Clock::now() - begin));
    return answer;
  }
  const TimePoint spun = Clock::now();
  const uint64_t sleeps = sleeps_;
  const PolledWait polled_wait(begin);
  while (true) {
    StashAnswers();
    const TimePoint now = Clock::now();
    if (Unstash(idx, &answer)) {
      if (sleeps_ == sleeps) {
        spin_.AnsweredSpinning(Nanoseconds(now - begin));
      } else {
        spin_.AnsweredSleeping(Nanoseconds(spun - begin), Nanoseconds(now - spun));
      }
      return answer;
    }
    if (auto whole = CheckRing(); !whole) return tl::make_unexpected(whole.error());
    if (now >= deadline) return tl::make_unexpected(NoAnswer(begin, now));
    if (stop != nullptr && stop->load()) {
      return Fail(VGPU_ERR_CANCELLED,
                  "the wait was given up; the request stays in its slot, wait for it again");
    }
    // Who may be stopped rests in short stretches; that the link is not back after one of
    // them is no error yet.
    const TimePoint until = stop == nullptr ? deadline : std::min(deadline, now + kStopCheck);
    if (auto rested = Rest(polled_wait, until); !rested && (until == deadline || !MayPass(rested.error()))) {
      return tl::make_unexpected(rested.error());
    }
  }
}

Result<void> Client::Rest(const PolledWait& polled_wait, TimePoint deadline) {
  if (!transport_->can_sleep()) {
    polled_wait.Step(deadline);
    return {};
  }
  if (!producer_.ArmCall()) return {};
  ++sleeps_;
  const Wake wake = transport_->SleepUntilCall(ring_idx_, deadline);
  producer_.DisarmCall();
  if (wake == Wake::kLinkLost) return transport_->AwaitLink(deadline);
  return {};
}

// Is the ring still this client's? Answers given before it was lost are taken first.
Result<void> Client::CheckRing() const {
  uint32_t state = VGPU_EPOCH_CLOSED;
  const bool mine = ring::EpochAnswered(ring_, producer_.epoch(), &state);
  const uint32_t link = transport_->ring_state();
  if (link > VGPU_RING_STATE_QUARANTINED) return tl::make_unexpected(DeviceGone());
  if (link == VGPU_RING_STATE_QUARANTINED)
    return Fail(VGPU_ERR_QUARANTINED, ExplainCode(VGPU_ERR_QUARANTINED));
  if (link == VGPU_RING_STATE_FENCED || state == VGPU_EPOCH_FENCED) {
    return Fail(VGPU_ERR_FENCED, ExplainCode(VGPU_ERR_FENCED));
  }
  const bool lost = !mine || state != VGPU_EPOCH_OPEN;
  if (lost && transport_->gone()) return tl::make_unexpected(DeviceGone());
  if (lost) return Fail(VGPU_ERR_RESET, ExplainCode(VGPU_ERR_RESET));
  return {};
}

Error Client::NoAnswer(TimePoint begin, TimePoint now) const {
  if (transport_->ring_state() == VGPU_RING_STATE_NO_MEDIATOR) {
    return transport_->WhyUnattached(fmt::format(
        "the mediator went away and did not come back within {}: start it on the host; the request "
        "stays in its slot, wait for it again",
        base::DurationText(now - begin)));
  }
  return {VGPU_ERR_TIMEOUT,
          fmt::format("no answer within {}: wait for it again with more time, or look at the "
                      "mediator's load with `vgpuctl status`",
                      base::DurationText(now - begin))};
}

Result<Buffer> Client::Allocate(uint64_t bytes) {
  const auto offset = arena_.Allocate(bytes);
  if (!offset) {
    return Fail(
        VGPU_ERR_NO_ARENA,
        fmt::format("no room for {} bytes in the arena of ring {} ({} bytes, largest hole {}): free other "
                    "buffers, use smaller pieces, or give the VM a larger region or fewer rings",
                    bytes, ring_idx_, arena_bytes_, arena_.largest()));
  }
  return Buffer(&arena_, *offset, bytes, arena_data_ + *offset);
}

Result<vgpu_device_info> Client::Info(TimePoint deadline) {
  if (!CanSubmit()) return Fail(VGPU_ERR_QUEUE_FULL, ExplainCode(VGPU_ERR_QUEUE_FULL));
  auto buffer = Allocate(sizeof(vgpu_device_info));
  if (!buffer) return tl::make_unexpected(buffer.error());
  auto answer = Wait(DeviceInfo(buffer->offset(), buffer->bytes()), deadline);
  if (!answer) {
    buffer->Abandon();
    return tl::make_unexpected(answer.error());
  }
  if (answer->code != VGPU_OK) return tl::make_unexpected(Refused(answer->code));
  vgpu_device_info info;
  CopyWords(&info, buffer->data(), sizeof(info));
  info.name[sizeof(info.name) - 1] = '\0';
  info.driver[sizeof(info.driver) - 1] = '\0';
  return info;
}

}  // namespace vgpu::guest
