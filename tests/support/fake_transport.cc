// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_transport.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/unique_fd.h"
#include "ring/epoch.h"

namespace vgpu::guest {
namespace {

using ring::RealMemory;

base::UniqueFd MakeEvent() {
  base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  assert(fd);
  return fd;
}

void Signal(const base::UniqueFd& fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(fd.get(), &one, sizeof(one));
}

void Drain(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof(count));
}

// What an answer to `request` is, and whatever it writes to the arena.
ring::Answer Compute(const ring::SlotCopy& request, char* arena) {
  const uint32_t opcode = vgpu_word_data(request.submit) & 0xffff;
  const uint64_t* arg = request.arg.data();
  if (opcode == VGPU_OP_NOP) return {VGPU_OK, 0};
  if (opcode == VGPU_OP_ADD) return {VGPU_OK, vgpu_word_data(arg[0]) + vgpu_word_seq(arg[0])};
  if (opcode == VGPU_OP_DEVICE_INFO) {
    vgpu_device_info info = {};
    info.abi_version = VGPU_ABI_VERSION;
    info.vm_id = 7;
    info.vector_max = 100;
    std::memset(info.name, 'x', sizeof(info.name));  // a string without an end
    std::memcpy(arena + arg[0], &info, sizeof(info));
    return {VGPU_OK, sizeof(info)};
  }
  if (opcode == VGPU_OP_VECTOR_ADD && (vgpu_word_data(request.submit) >> 16) == VGPU_TYPE_I32) {
    for (uint64_t i = 0; i < arg[0]; ++i) {
      uint32_t a;
      uint32_t b;
      std::memcpy(&a, arena + arg[1] + 4 * i, 4);
      std::memcpy(&b, arena + arg[2] + 4 * i, 4);
      const uint32_t c = a + b;
      std::memcpy(arena + arg[3] + 4 * i, &c, 4);
    }
    return {VGPU_OK, 0};
  }
  return {VGPU_ERR_UNSUPPORTED, 0};
}

}  // namespace

FakeTransport::FakeTransport(const FakeOptions& options)
    : options_(options), link_changed_(MakeEvent()), claimed_(options.rings) {
  memory_ = *base::MakeSealedMemfd("fake-region", options.region_bytes);
  map_ = *base::MapShared(memory_.get(), options.region_bytes);
  [[maybe_unused]] const int made =
      vgpu_layout_make(options.region_bytes, options.rings, options.entries, &layout_);
  assert(made == 0);
  region_ = map_.data();
  for (uint32_t q = 0; q < options.rings; ++q) {
    kicks_.push_back(MakeEvent());
    calls_.push_back(MakeEvent());
  }
}

Result<void> FakeTransport::ClaimRing(uint32_t ring) {
  if (claimed_[ring].exchange(true)) return Fail(VGPU_ERR_RING_BUSY, "the ring is in use");
  return {};
}

void FakeTransport::ReleaseRing(uint32_t ring) { claimed_[ring].store(false); }

void FakeTransport::Kick(uint32_t ring) { Signal(kicks_[ring]); }

void FakeTransport::Call(uint32_t ring) { Signal(calls_[ring]); }

Wake FakeTransport::SleepUntilCall(uint32_t ring, TimePoint deadline) {
  pollfd watched[2] = {{calls_[ring].get(), POLLIN, 0}, {link_changed_.get(), POLLIN, 0}};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (poll(watched, 2, static_cast<int>(std::max<int64_t>(left, 0))) <= 0) return Wake::kDeadline;
  Drain(calls_[ring].get());
  if (watched[1].revents == 0) return Wake::kCheck;
  Drain(link_changed_.get());
  return Wake::kLinkLost;
}

Result<void> FakeTransport::AwaitLink(TimePoint deadline) {
  while (state_.load() == VGPU_RING_STATE_NO_MEDIATOR) {
    if (Clock::now() >= deadline) {
      return tl::make_unexpected(WhyUnattached("the fake mediator is away"));
    }
    std::this_thread::yield();
  }
  return {};
}

void FakeTransport::SetState(uint32_t state) {
  state_.store(state);
  Signal(link_changed_);
}

ring::RingRef<RealMemory> FakeTransport::RingAt(uint32_t ring) const {
  return ring::RingAt(map_.data() + layout_.ring_off + ring * layout_.ring_stride, layout_.entries);
}

char* FakeTransport::ArenaOf(uint32_t ring) const {
  return map_.data() + layout_.ring_off + ring * layout_.ring_stride + layout_.arena_off;
}

FakeMediator::FakeMediator(FakeTransport* transport, uint32_t ring, Manner manner, Memory memory)
    : transport_(transport),
      ring_idx_(ring),
      ring_(transport->RingAt(ring)),
      manner_(manner),
      nudge_(MakeEvent()),
      memory_(memory),
      consumer_(ring_, vgpu_word_seq(memory.epoch), memory.cons, memory.completed),
      thread_([this] { Run(); }) {}

FakeMediator::Memory FakeMediator::Stop() {
  stop_.store(true);
  Signal(nudge_);
  if (thread_.joinable()) thread_.join();
  return memory_;
}

void FakeMediator::SetManner(Manner manner) {
  manner_.store(manner);
  Signal(nudge_);
}

void FakeMediator::Run() {
  while (!stop_.load()) {
    if (manner_.load() != Manner::kOpensNothing && ring::RequestedEpoch(ring_) != memory_.epoch)
      CarryOutEpoch();
    if (vgpu_word_data(memory_.epoch) == VGPU_EPOCH_OPEN) ServeRequests();
    Sleep();
  }
}

void FakeMediator::CarryOutEpoch() {
  const uint64_t asked = ring::RequestedEpoch(ring_);
  memory_ = {asked, 0, 0};
  consumer_ = {ring_, vgpu_word_seq(asked)};
  taken_.clear();
  const bool fence = manner_.load() == Manner::kFencesOpen;
  ring::AnswerEpoch(ring_, vgpu_word_seq(asked), fence ? VGPU_EPOCH_FENCED : vgpu_word_data(asked));
}

void FakeMediator::ServeRequests() {
  ring::SlotCopy copy;
  while (consumer_.Take(&copy)) taken_.emplace_back(consumer_.cons() - 1, copy);
  const Manner manner = manner_.load();
  if (taken_.empty() || manner == Manner::kSilent) return;
  if (manner == Manner::kFences) {
    RealMemory::StoreRelease(ring_.epoch_ack, vgpu_word(VGPU_EPOCH_FENCED, vgpu_word_seq(memory_.epoch)));
    transport_->Call(ring_idx_);
    return;
  }
  const uint64_t armed = vgpu_word(consumer_.completed(), consumer_.epoch());
  while (wait_for_sleeper_.load() && !stop_.load() && RealMemory::LoadRelaxed(ring_.call_event) != armed) {
    std::this_thread::yield();
  }
  if (manner == Manner::kBackwards) std::reverse(taken_.begin(), taken_.end());
  for (const auto& [idx, request] : taken_) Answer(idx, request);
  taken_.clear();
  memory_.cons = consumer_.cons();
  memory_.completed = consumer_.completed();
}

void FakeMediator::Answer(uint32_t idx, const ring::SlotCopy& request) {
  ring::Answer answer = Compute(request, transport_->ArenaOf(ring_idx_));
  if (manner_.load() == Manner::kWrong) {
    ++answer.data;
    if ((vgpu_word_data(request.submit) & 0xffff) == VGPU_OP_VECTOR_ADD)
      ++transport_->ArenaOf(ring_idx_)[request.arg[3]];
  }
  if (manner_.load() == Manner::kRefuses) answer = {VGPU_ERR_UNSUPPORTED, 0};
  consumer_.Complete(idx, answer);
  if (consumer_.NeedCall()) transport_->Call(ring_idx_);
}

void FakeMediator::Sleep() {
  const bool open = vgpu_word_data(memory_.epoch) == VGPU_EPOCH_OPEN;
  if (open && !consumer_.ArmKick()) return;
  pollfd watched[2] = {{transport_->kick_fd(ring_idx_), POLLIN, 0}, {nudge_.get(), POLLIN, 0}};
  poll(watched, 2, -1);
  Drain(transport_->kick_fd(ring_idx_));
  Drain(nudge_.get());
  if (open) consumer_.DisarmKick();
}

}  // namespace vgpu::guest
