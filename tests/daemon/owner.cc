// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/owner.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cstring>

#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/unique_fd.h"
#include "ring/epoch.h"
#include "ring/region.h"
#include "tests/daemon/daemon.h"

namespace vgpu::test {
namespace {

using ring::RealMemory;

base::UniqueFd MakeMemory(const char* name, uint64_t bytes, base::Mapping* mapping) {
  base::OwnedMemory memory = std::move(base::MakeOwnedMemory(name, bytes).value());
  *mapping = std::move(memory.mapping);
  return std::move(memory.fd);
}

}  // namespace

Owner::Owner(OwnerOptions options) : options_(options) {
  private_fd_ = MakeMemory("vgpu-private", VGPU_PRIVATE_BYTES, &private_);
  vgpu_private_fill(private_.data());
  if (options.rings != 0) {
    EXPECT_EQ(vgpu_layout_make(options.region_bytes, options.rings, options.entries, &layout_), 0);
    MakeRegion();
  }
  for (uint32_t q = 0; q <= options.rings; ++q) {
    doorbells_.push_back({base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
                          base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))});
  }
}

void Owner::MakeRegion() {
  if (options_.rings_file) {
    ring::OwnedRegion region = std::move(ring::MakeOwnedRegion(layout_).value());
    region_ = std::move(region.mapping);
    region_fd_ = std::move(region.fd);
    rings_fd_ = std::move(region.rings_fd);
    return;
  }
  region_fd_ = MakeMemory("vgpu-region", options_.region_bytes, &region_);
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(region_.data()), &layout_);
}

ring::RingRef<RealMemory> Owner::ring(uint32_t q) const {
  if (q == options_.rings) return ring::RingAt(private_.data() + VGPU_WINDOW_RING_OFF, VGPU_WINDOW_ENTRIES);
  return ring::RingAt(ring_base(q), options_.entries);
}

vgpu_msg_attach Owner::Claim() const {
  const bool region = options_.rings != 0;
  return {options_.vm_id,
          options_.pool,
          options_.priority,
          options_.rings,
          region ? options_.entries : 0,
          0,
          region ? options_.region_bytes : 0};
}

std::vector<int> Owner::AttachFds() const {
  const Doorbells& window = doorbells_.back();
  std::vector<int> fds = {private_fd_.get(), window.kick.get(), window.call.get()};
  if (options_.rings != 0) fds.push_back(region_fd_.get());
  if (rings_fd_) fds.push_back(rings_fd_.get());
  return fds;
}

void Owner::SendAttach(Peer* peer) const {
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_PROCESS};
  peer->Send(VGPU_MSG_HELLO, Bytes(hello));
  peer->Send(VGPU_MSG_ATTACH, Bytes(Claim()), AttachFds());
  for (uint32_t q = 0; q < options_.rings; ++q) {
    const vgpu_msg_ring ring{q, 0};
    peer->Send(VGPU_MSG_RING, Bytes(ring), RingFds(q));
  }
  peer->Send(VGPU_MSG_START);
}

std::optional<vgpu_msg_grant> Owner::Attach(const std::string& socket) {
  peer_.reset();
  auto peer = std::make_unique<Peer>(socket);
  if (!peer->connected()) return std::nullopt;
  SendAttach(peer.get());
  for (;;) {
    const std::optional<Message> message = peer->Receive();
    if (!message) return std::nullopt;
    if (message->type == VGPU_MSG_HELLO) continue;
    if (message->type != VGPU_MSG_GRANT) {
      ADD_FAILURE() << "message " << message->type
                    << " instead of GRANT: " << message->payload.substr(8).c_str();
      return std::nullopt;
    }
    peer_ = std::move(peer);
    vgpu_msg_grant grant;
    std::memcpy(&grant, message->payload.data(), sizeof grant);
    return grant;
  }
}

void Owner::Kick(uint32_t q) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(doorbells_[q].kick.get(), &one, sizeof one);
}

void Guest::AskEpoch(bool open) {
  epoch_ = ring::RequestEpoch(ring_, open);
  owner_->Kick(q_);
}

Outcome Guest::AwaitEpoch(uint32_t* state) {
  while (!ring::EpochAnswered(ring_, epoch_, state)) {
    if (const Outcome outcome = Sleep(); outcome != Outcome::kDone) return outcome;
  }
  taken_.clear();
  if (*state == VGPU_EPOCH_OPEN) producer_ = std::make_unique<ring::Producer<RealMemory>>(ring_, epoch_);
  return Outcome::kDone;
}

void Guest::Open() {
  AskEpoch(true);
  uint32_t state = VGPU_EPOCH_CLOSED;
  EXPECT_EQ(AwaitEpoch(&state), Outcome::kDone);
  ASSERT_EQ(state, VGPU_EPOCH_OPEN);
}

Outcome Guest::AwaitWindow() {
  epoch_ = VGPU_WINDOW_EPOCH;
  uint32_t state;
  return AwaitEpoch(&state);
}

uint32_t Guest::Stage(uint32_t opcode, uint32_t type, std::initializer_list<uint64_t> args) {
  return producer_->Stage(opcode, type, args.begin(), static_cast<uint32_t>(args.size()));
}

uint32_t Guest::Add(int32_t a, int32_t b) {
  return Stage(VGPU_OP_ADD, 0, {vgpu_word(static_cast<uint32_t>(a), static_cast<uint32_t>(b))});
}

void Guest::Flush() {
  if (producer_->Publish()) owner_->Kick(q_);
}

Outcome Guest::Await(uint32_t idx, ring::Answer* answer) {
  for (;;) {
    TakeAll();
    if (const auto taken = taken_.find(idx); taken != taken_.end()) {
      *answer = taken->second;
      taken_.erase(taken);
      return Outcome::kDone;
    }
    if (!producer_->ArmCall()) continue;
    const Outcome outcome = Sleep();
    producer_->DisarmCall();
    if (outcome != Outcome::kDone) return outcome;
  }
}

void Guest::TakeAll() {
  ring::Answer answer;
  for (uint32_t idx = producer_->oldest(); idx != producer_->prod(); ++idx) {
    if (producer_->Take(idx, &answer)) taken_[idx] = answer;
  }
}

ring::Answer Guest::Ask(uint32_t idx) {
  Flush();
  ring::Answer answer{~0u, 0};
  EXPECT_EQ(Await(idx, &answer), Outcome::kDone) << "request " << idx;
  return answer;
}

// Until a call, the end of the connection, or the end of all patience, which is a lost call.
Outcome Guest::Sleep() {
  const int call = owner_->doorbells(q_).call.get();
  pollfd watched[] = {{call, POLLIN, 0}, {owner_->peer().fd(), POLLRDHUP, 0}};
  constexpr auto kMs = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count();
  if (poll(watched, 2, static_cast<int>(kMs)) == 0) return Outcome::kTimedOut;
  if (watched[1].revents != 0) return Outcome::kLinkLost;
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(call, &count, sizeof count);
  return Outcome::kDone;
}

}  // namespace vgpu::test
