// SPDX-License-Identifier: Apache-2.0
#include "mediator/connection.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "mediator/bus_error_guard.h"
#include "mediator/crash_point.h"
#include "mediator/status.h"
#include "ring/regs.h"

namespace vgpu::mediator {
namespace {

// A connection that floods the loop gets this many messages a turn.
constexpr int kMessagesPerTurn = 16;

// Anything else could be readable for ever (a file), or block (a pipe).
bool IsEventfd(const ring::UniqueFd& fd) {
  std::array<char, 64> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd.get());
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<size_t>(length)) == "anon_inode:[eventfd]";
}

}  // namespace

Connection::Connection(ControlServer* server, ring::UniqueFd socket)
    : server_(server), channel_(std::move(socket)) {}

Connection::~Connection() {
  server_->context_.loop->Unwatch(watch_);
  server_->context_.loop->Unwatch(writable_watch_);
  for (const int id : guards_) bus_error_guard::Forget(id);
}

bool Connection::Open() {
  watch_ = server_->context_.loop->Watch(channel_.fd(), this);
  return watch_ >= 0;
}

bool Connection::Holds(uint32_t vm_id) const {
  switch (state_) {
    case State::kPreparing:
    case State::kAttached: return grant_.vm_id == vm_id;
    case State::kClosing: return !gone() && grant_.vm_id == vm_id;
    default: return false;
  }
}

// ---- messages ----

void Connection::OnReady() {
  for (int i = 0; i < kMessagesPerTurn && state_ != State::kClosing; ++i) {
    ControlMessage message;
    const auto received = channel_.Receive(&message);
    if (!received) return Breach(received.error());
    if (*received == ControlChannel::Received::kNothingYet) return;
    if (*received == ControlChannel::Received::kClosed) return Close();
    Handle(std::move(message));
  }
}

void Connection::Handle(ControlMessage message) {
  const bool wants_fds = message.type == VGPU_MSG_ATTACH || message.type == VGPU_MSG_RING;
  if (!wants_fds && !message.fds.empty()) return Breach("descriptors with a message that takes none");
  if (state_ == State::kNew && message.type != VGPU_MSG_HELLO) return Breach("the first message must be HELLO");
  switch (message.type) {
    case VGPU_MSG_HELLO: return HandleHello(message);
    case VGPU_MSG_ATTACH: return HandleAttach(std::move(message));
    case VGPU_MSG_RING: return HandleRing(std::move(message));
    case VGPU_MSG_START: return HandleStart();
    case VGPU_MSG_STATUS: return HandleStatus();
    case VGPU_MSG_RESET:
      if (state_ == State::kAttached) return server_->context_.dispatcher->Reset(session_.get());
      return AfterSend(channel_.Send(VGPU_MSG_RESET_DONE, std::string_view()));
    case VGPU_MSG_DETACH: return Close();
    default: return Breach(fmt::format("unknown control message {}", message.type));
  }
}

void Connection::HandleHello(const ControlMessage& message) {
  const auto* hello = message.As<vgpu_msg_hello>();
  if (hello == nullptr || state_ != State::kNew) return Breach("a damaged or repeated HELLO");
  if (hello->abi_version >> 16 != VGPU_ABI_VERSION >> 16) {
    return Refuse(VGPU_ERR_UNSUPPORTED,
                  fmt::format("ABI version {}.{} instead of {}.{}: use a QEMU device and a mediator of one release",
                              hello->abi_version >> 16, hello->abi_version & 0xffff, VGPU_ABI_VERSION >> 16,
                              VGPU_ABI_VERSION & 0xffff));
  }
  state_ = State::kGreeted;
  AfterSend(channel_.Send(VGPU_MSG_HELLO, vgpu_msg_hello{VGPU_ABI_VERSION, 0}));
}

void Connection::HandleAttach(ControlMessage message) {
  const auto* claim = message.As<vgpu_msg_attach>();
  if (claim == nullptr || state_ != State::kGreeted) return Breach("a damaged or repeated ATTACH");
  const size_t fds = claim->ring_count == 0 ? 3 : 4;
  if (message.fds.size() != fds) {
    return Breach(fmt::format("ATTACH came with {} descriptors instead of {}", message.fds.size(), fds));
  }
  const auto grant = CheckClaim(*claim, *server_->context_.config, &layout_);
  if (!grant) return Refuse(grant.error().code, grant.error().text);
  claim_ = *claim;
  grant_ = *grant;
  private_file_ = std::move(message.fds[0]);
  window_ = {std::move(message.fds[1]), std::move(message.fds[2])};
  if (fds == 4) region_ = std::move(message.fds[3]);
  if (!IsEventfd(window_.kick) || !IsEventfd(window_.call)) return Breach("a doorbell that is no eventfd");
  rings_.resize(claim_.ring_count);
  state_ = State::kAttaching;
}

void Connection::HandleRing(ControlMessage message) {
  const auto* ring = message.As<vgpu_msg_ring>();
  if (ring == nullptr || state_ != State::kAttaching || ring->ring >= rings_.size()) {
    return Breach("a damaged RING, one out of range, or one without ATTACH");
  }
  if (message.fds.size() != 2) {
    return Breach(fmt::format("RING came with {} descriptors instead of 2", message.fds.size()));
  }
  RingEventfds& fds = rings_[ring->ring];
  if (fds.kick) return Breach(fmt::format("RING {} came twice", ring->ring));
  fds = {std::move(message.fds[0]), std::move(message.fds[1])};
  if (!IsEventfd(fds.kick) || !IsEventfd(fds.call)) return Breach("a doorbell that is no eventfd");
}

void Connection::HandleStart() {
  if (state_ != State::kAttaching) return Breach("START without ATTACH");
  const bool complete = std::all_of(rings_.begin(), rings_.end(), [](const RingEventfds& fds) { return !!fds.kick; });
  if (!complete) return Breach("START before every ring has its descriptors");
  state_ = State::kWaiting;
  Retry();
}

void Connection::Retry() {
  if (state_ != State::kWaiting) return;
  if (Connection* other = server_->FindVm(grant_.vm_id, this); other != nullptr) {
    if (!other->closing()) {
      return Refuse(VGPU_ERR_INVALID_REQUEST,
                    fmt::format("VM {} is attached already: give each VM its own vm_id (vgpuctl status lists them)",
                                grant_.vm_id));
    }
    return;  // its pieces may still write to the same memory
  }
  if (server_->context_.dispatcher->sessions().size() >= server_->context_.config->vms_max) {
    return Refuse(VGPU_ERR_QUEUE_FULL, fmt::format("{} VMs are attached, which is this mediator's limit: raise "
                                                   "limits.vms_max",
                                                   server_->context_.config->vms_max));
  }
  Prepare();
}

void Connection::Prepare() {
  state_ = State::kPreparing;
  preparing_ = true;
  // The background thread only reads what this connection keeps unchanged until it is done.
  server_->context_.background->Submit([this]() -> Background::Completion {
    auto memory = std::make_shared<tl::expected<SessionMemory, Refusal>>(
        PrepareMemory(layout_, private_file_, region_));
    return [this, memory] { Prepared(std::move(*memory)); };
  });
}

void Connection::Prepared(tl::expected<SessionMemory, Refusal> memory) {
  preparing_ = false;
  if (state_ == State::kClosing) return server_->Destroy(this);
  if (!memory) return Refuse(memory.error().code, memory.error().text);
  for (const ring::Mapping* mapping : {&memory->private_file, &memory->region}) {
    if (*mapping) guards_.push_back(bus_error_guard::Guard(mapping->data(), mapping->bytes()));
  }
  vgpu_device_info device = server_->context_.device;
  server_->context_.backend->Describe(grant_.pool, &device);
  session_ = std::make_unique<Session>(server_->context_.dispatcher, static_cast<SessionOwner*>(this), grant_,
                                       std::move(*memory), std::move(rings_), std::move(window_),
                                       device);
  private_file_.reset();
  region_.reset();
  VGPU_CRASH_POINT("before_begin");
  if (!server_->context_.dispatcher->Begin(session_.get())) {
    session_.reset();
    return Refuse(VGPU_ERR_QUEUE_FULL, "the mediator watches too many descriptors: raise limits.vms_max");
  }
  VGPU_CRASH_POINT("after_begin");
  state_ = State::kAttached;
  spdlog::info("VM {} attached: pool {}, priority {}, {} rings", grant_.vm_id, static_cast<char>(grant_.pool),
               grant_.priority, layout_.ring_count);
  AfterSend(channel_.Send(VGPU_MSG_GRANT, vgpu_msg_grant{grant_.vm_id, grant_.pool, grant_.priority, 0}));
}

void Connection::HandleStatus() {
  vgpu_device_info device = server_->context_.device;
  server_->context_.backend->Describe('A', &device);  // a GPU may have come since the start
  const std::string status = StatusJson(*server_->context_.dispatcher, device);
  AfterSend(channel_.Send(VGPU_MSG_STATUS_REPLY, status));
}

// ---- answers ----

void Connection::AfterSend(bool sent) {
  if (!sent) return Close();
  if (channel_.pending() && writable_watch_ < 0) {
    writable_watch_ = server_->context_.loop->Watch(channel_.fd(), &writable_, POLLOUT);
  }
}

void Connection::OnWritable() {
  if (!channel_.Flush()) return Close();
  if (channel_.pending()) return;
  server_->context_.loop->Unwatch(std::exchange(writable_watch_, -1));
}

void Connection::Refuse(uint32_t code, const std::string& text) {
  if (server_->last_refusal_ != text) spdlog::warn("refused a connection: {}", text);
  server_->last_refusal_ = text;
  vgpu_msg_error error{};
  error.code = code;
  std::strncpy(error.text, text.c_str(), sizeof error.text - 1);
  channel_.Send(VGPU_MSG_ERROR, error);
  Close();
}

void Connection::OnFenced() {
  AfterSend(channel_.Send(VGPU_MSG_STATE, vgpu_msg_state{VGPU_RING_STATE_FENCED, VGPU_ERR_FENCED}));
}

void Connection::OnResetDone() {
  AfterSend(channel_.Send(VGPU_MSG_STATE, vgpu_msg_state{VGPU_RING_STATE_ATTACHED, VGPU_OK}));
  if (state_ == State::kClosing) return;
  AfterSend(channel_.Send(VGPU_MSG_RESET_DONE, std::string_view()));
}

void Connection::FenceAfterBusError() {
  if (state_ != State::kAttached) return;
  const bool hit = std::any_of(guards_.begin(), guards_.end(), [](int id) { return bus_error_guard::Hits(id) != 0; });
  if (hit) server_->context_.dispatcher->Fence(session_.get(), "its memory raised a bus error");
}

// ---- the end ----

void Connection::Close() {
  if (state_ == State::kClosing) return;
  const bool attached = state_ == State::kAttached;
  state_ = State::kClosing;
  server_->context_.loop->Unwatch(std::exchange(watch_, -1));
  server_->context_.loop->Unwatch(std::exchange(writable_watch_, -1));
  if (attached) {
    spdlog::info("VM {} detached", grant_.vm_id);
    server_->context_.dispatcher->End(session_.get());
  } else if (!preparing_) {
    server_->Destroy(this);
  }
}

void Connection::OnEnded() {
  assert(state_ == State::kClosing);
  for (const int id : guards_) bus_error_guard::Forget(id);
  guards_.clear();
  auto memory = std::make_shared<SessionMemory>(session_->TakeMemory());
  server_->context_.background->Submit([this, memory]() -> Background::Completion {
    *memory = SessionMemory();  // unmaps, which takes long for large regions
    return [this] {
      session_.reset();
      server_->Destroy(this);
    };
  });
}

}  // namespace vgpu::mediator
