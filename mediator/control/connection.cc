// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>
#include <utility>

#include "api/codes.h"
#include "base/crash_point.h"
#include "mediator/control/attach_task.h"
#include "mediator/loop/clock.h"
#include "ring/regs.h"

namespace vgpu::mediator {
namespace {

// A connection that floods the loop gets this many messages an iteration.
constexpr int kMessagesPerIteration = 16;
// A peer that has not said hello within so long is hung up on; one that has may be silent for
// limits.silent_s.
constexpr int64_t kHelloNs = 5'000'000'000;
// Questions of a peer that has not read the answer to an earlier one.
constexpr uint32_t kUnreadMax = 1000;
// A call that took so long when the VM attached: it is isolated from the start.
constexpr int64_t kSlowCallNs = 200'000;

}  // namespace

Connection::Connection(const ConnectionShared& shared, PeerFd socket, PeerId peer)
    : shared_(shared),
      peer_(peer),
      channel_(MakeControlChannel(std::move(socket))),
      heard_ns_(MonotonicNs()) {}

Connection::~Connection() {
  shared_.context.loop->Unwatch(watch_);
  shared_.context.loop->Unwatch(writable_watch_);
}

bool Connection::Open() {
  watch_ = shared_.context.loop->Watch(channel_.fd(), this);
  due_ns_ = heard_ns_ + std::min(kHelloNs, int64_t{shared_.context.config->silent_s} * 1'000'000'000);
  return watch_ >= 0;
}

bool Connection::Holds(uint32_t vm_id, const MemoryIds& memory) const {
  const bool holds = state_ >= State::kPreparing && !gone();
  if (!holds) return false;
  const auto same = [this](const MemoryId& id) {
    return id != MemoryId{} && std::find(memory_.begin(), memory_.end(), id) != memory_.end();
  };
  return identity_.vm_id == vm_id || std::any_of(memory.begin(), memory.end(), same);
}

std::string Connection::Name() const {
  return fmt::format("VM {} (uid {}, pid {})", identity_.vm_id, peer_.uid, peer_.pid);
}

void Connection::DoDue(int64_t now_ns) {
  if (now_ns < due_ns_) return;
  due_ns_ = INT64_MAX;
  if (state_ == State::kWaiting) return Retry();
  if (!idle()) return;
  const int64_t silent_ns = int64_t{shared_.context.config->silent_s} * 1'000'000'000;
  const int64_t patience_ns = state_ == State::kNew ? std::min(kHelloNs, silent_ns) : silent_ns;
  if (now_ns - heard_ns_ >= patience_ns) {
    return Refuse(VGPU_ERR_TIMEOUT,
                  fmt::format("nothing was heard for {} s: a connection that is not attached must speak",
                              patience_ns / 1'000'000'000));
  }
  due_ns_ = heard_ns_ + patience_ns;
}

// ---- messages ----

void Connection::OnReady() {
  for (int i = 0; i < kMessagesPerIteration && state_ != State::kClosing; ++i) {
    ControlMessage message;
    const auto received = channel_.Receive(&message);
    if (!received) return Breach(Explain(received.error()));
    if (*received == ControlChannel::Received::kNothingYet) return;
    if (*received == ControlChannel::Received::kClosed) return Close("its connection closed");
    heard_ns_ = MonotonicNs();
    Handle(std::move(message));
  }
}

void Connection::Handle(ControlMessage message) {
  const bool wants_fds = message.type == VGPU_MSG_ATTACH || message.type == VGPU_MSG_RING;
  if (!wants_fds && !message.fds.empty()) return Breach("descriptors with a message that takes none");
  if (state_ == State::kNew && message.type != VGPU_MSG_HELLO)
    return Breach("the first message must be HELLO");
  switch (message.type) {
    case VGPU_MSG_HELLO: return HandleHello(message);
    case VGPU_MSG_ATTACH: return HandleAttach(std::move(message));
    case VGPU_MSG_RING: return HandleRing(std::move(message));
    case VGPU_MSG_START: return HandleStart();
    case VGPU_MSG_STATUS: return HandleStatus();
    case VGPU_MSG_RESET: return HandleReset();
    case VGPU_MSG_QUARANTINE:
    case VGPU_MSG_RELEASE: return HandleVm(message);
    case VGPU_MSG_DETACH: return Close("it said so");
    default: return Breach(fmt::format("unknown control message {}", message.type));
  }
}

void Connection::HandleHello(const ControlMessage& message) {
  const auto* hello = message.As<vgpu_msg_hello>();
  if (hello == nullptr || state_ != State::kNew) return Breach("a damaged or repeated HELLO");
  if (hello->abi_version >> 16 != VGPU_ABI_VERSION >> 16) {
    return Refuse(
        VGPU_ERR_UNSUPPORTED,
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
  const size_t least = claim->ring_count == 0 ? 3 : 4;
  const size_t most = claim->ring_count == 0 ? 3 : 5;  // older owners have no rings file
  if (message.fds.size() < least || message.fds.size() > most) {
    return Breach(fmt::format("ATTACH came with {} descriptors instead of {}", message.fds.size(), most));
  }
  const auto identity = CheckClaim(*claim, *shared_.context.config, &layout_);
  if (!identity) return Refuse(identity.error().code, identity.error().text);
  claim_ = *claim;
  identity_ = *identity;
  if (shared_.offenders.Quarantined(identity_.vm_id)) {
    return Refuse(VGPU_ERR_QUARANTINED,
                  fmt::format("VM {} is quarantined: vgpuctl release {} lets it in again", identity_.vm_id,
                              identity_.vm_id));
  }
  if (const auto taken = TakeAttachFds(&message); !taken)
    return Refuse(taken.error().code, taken.error().text);
  rings_.resize(claim_.ring_count);
  state_ = State::kAttaching;
}

// What kind each is comes first: nothing else may be done with one that its owner can make slow.
tl::expected<void, Refusal> Connection::TakeAttachFds(ControlMessage* message) {
  private_file_ = std::move(message->fds[0]);
  window_ = {std::move(message->fds[1]), std::move(message->fds[2])};
  if (message->fds.size() > 3) region_ = std::move(message->fds[3]);
  if (message->fds.size() > 4) ring_lines_ = std::move(message->fds[4]);
  if (const auto is = CheckIsMemfd("the private file", private_file_.get()); !is) return is;
  if (region_) {
    if (const auto is = CheckIsMemfd("the region", region_.get()); !is) return is;
  }
  if (ring_lines_) {
    if (const auto is = CheckIsMemfd("the rings file", ring_lines_.get()); !is) return is;
  }
  if (const auto is = CheckIsEventfd("the window's kick", window_.kick.get()); !is) return is;
  if (const auto is = CheckIsEventfd("the window's call", window_.call.get()); !is) return is;
  for (PeerFd* fd : {&private_file_, &region_, &ring_lines_, &window_.kick, &window_.call})
    fd->set_ends_by_itself();
  memory_ = {MemoryIdOf(private_file_.get()), MemoryIdOf(region_.get()), MemoryIdOf(ring_lines_.get())};
  const char* twice = nullptr;
  if (memory_[0] == memory_[1]) twice = "the private file and the region are the same memory";
  if (memory_[0] == memory_[2]) twice = "the private file and the rings file are the same memory";
  if (ring_lines_ && memory_[1] == memory_[2]) twice = "the region and the rings file are the same memory";
  if (twice == nullptr) return {};
  return tl::make_unexpected(Refusal{VGPU_ERR_INVALID_REQUEST, twice});
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
  for (const PeerFd* fd : {&fds.kick, &fds.call}) {
    const auto is = CheckIsEventfd("a ring's doorbell", fd->get());
    if (!is) return Refuse(is.error().code, is.error().text);
  }
  fds.kick.set_ends_by_itself();
  fds.call.set_ends_by_itself();
}

void Connection::HandleStart() {
  if (state_ != State::kAttaching) return Breach("START without ATTACH");
  const bool complete =
      std::all_of(rings_.begin(), rings_.end(), [](const RingEventfds& fds) { return !!fds.kick; });
  if (!complete) return Breach("START before every ring has its descriptors");
  state_ = State::kWaiting;
  Retry();
}

void Connection::HandleVm(const ControlMessage& message) {
  const auto* vm = message.As<vgpu_msg_vm>();
  if (vm == nullptr || state_ != State::kGreeted)
    return Breach("a damaged QUARANTINE or RELEASE, or one of a VM's owner");
  const uint32_t vm_id = vm->vm_id;
  if (message.type == VGPU_MSG_QUARANTINE) {
    if (!shared_.host.Quarantine(vm_id))
      return Refuse(VGPU_ERR_QUEUE_FULL, "as many VMs are quarantined as can be: release some");
  } else if (shared_.offenders.Quarantined(vm_id) || shared_.offenders.stalls(vm_id) != 0) {
    shared_.host.Release(vm_id);
  } else {
    return Refuse(VGPU_ERR_INVALID_REQUEST, fmt::format("VM {} is neither quarantined nor a suspect", vm_id));
  }
  AfterSend(channel_.Send(VGPU_MSG_DONE, std::string_view()));
}

void Connection::HandleStatus() {
  if (channel_.pending() && ++unread_ > kUnreadMax) return Close("it asks, and does not read the answers");
  wants_status_ = true;
  shared_.host.WantStatus();
}

void Connection::AnswerStatus(const std::string& status) {
  // It does not read: the answer to this waits until it has read the one before.
  if (channel_.pending()) return;
  wants_status_ = false;
  unread_ = 0;
  AfterSend(channel_.Send(VGPU_MSG_STATUS_REPLY, status));
}

void Connection::HandleReset() {
  const bool served = state_ == State::kAttached;
  // What an earlier mediator has left is being taken up again: it may run before GRANT.
  if (!served && state_ >= State::kWaiting) {
    reset_wanted_ = true;
    return;
  }
  // Nothing to cancel yet.
  if (!served) return AfterSend(channel_.Send(VGPU_MSG_RESET_DONE, std::string_view()));
  if (Fenced(FenceReason::kMemoryLost)) return RefuseLost();
  Reset();
}

// No reset brings its memory back.
void Connection::RefuseLost() {
  Refuse(VGPU_ERR_FENCED, fmt::format("{}: {}; attach again with memory that is all there", Name(),
                                      ToText(FenceReason::kMemoryLost)));
}

// One at a time: a flood of them costs the lane one after the other.
void Connection::Reset() {
  reset_wanted_ = resetting_ || move_ != Move::kNone;
  if (reset_wanted_) return;
  resetting_ = true;
  Post(LaneCommand::Kind::kReset);
}

// ---- to be served ----

void Connection::Retry() {
  const int64_t now_ns = MonotonicNs();
  if (Connection* other = shared_.host.OtherOwner(identity_.vm_id, memory_, this); other != nullptr) {
    if (other->closing()) return;  // its pieces may still write to the same memory; the server asks again
    if (other->vm_id() == identity_.vm_id) {
      return Refuse(
          VGPU_ERR_INVALID_REQUEST,
          fmt::format(
              "VM {} is attached already, by pid {}: give each VM its own vm_id (vgpuctl status lists them)",
              identity_.vm_id, other->peer().pid));
    }
    return Refuse(
        VGPU_ERR_INVALID_REQUEST,
        fmt::format("the memory of VM {} is attached already, as that of VM {}: give each VM its own",
                    identity_.vm_id, other->vm_id()));
  }
  const uint32_t vms_max = shared_.context.config->vms_max;
  if (shared_.host.attached() >= vms_max) {
    return Refuse(
        VGPU_ERR_QUEUE_FULL,
        fmt::format("{} VMs are attached, which is this mediator's limit: raise limits.vms_max", vms_max));
  }
  if (const int64_t at_ns = shared_.admission.AttachAt(peer_, now_ns); at_ns != 0) {
    due_ns_ = at_ns;
    return;
  }
  Prepare();
}

void Connection::Prepare() {
  state_ = State::kPreparing;
  due_ns_ = INT64_MAX;
  const ControlContext& context = shared_.context;
  AttachParts parts{identity_,          layout_,
                    context.device,     std::move(private_file_),
                    std::move(region_), std::move(ring_lines_),
                    std::move(rings_),  std::move(window_)};
  context.lane->Describe(identity_.pool, &parts.device);
  auto task = std::make_unique<AttachTask>(std::move(parts), context.clock,
                                           [this](AttachTask* done) { Prepared(done); });
  attach_ = task.get();
  ++tasks_;
  context.memory_thread->Submit(std::move(task));
}

void Connection::Prepared(AttachTask* task) {
  --tasks_;
  attach_ = nullptr;
  session_ = task->TakeSession();
  if (state_ == State::kClosing) return session_ != nullptr ? OnEnded() : shared_.host.Forget();
  if (session_ == nullptr) return Refuse(task->refusal().code, task->refusal().text);
  why_isolated_ = WhyIsolated(*task);
  if (!why_isolated_.empty())
    shared_.log.Warn(fmt::format("{} is served apart from the others: {}", Name(), why_isolated_));
  lane_ = why_isolated_.empty() ? shared_.context.lane : shared_.context.isolated_lane;
  state_ = State::kBeginning;
  VGPU_CRASH_POINT("before_begin");
  Post(LaneCommand::Kind::kBegin);
}

// "" if it is none.
std::string Connection::WhyIsolated(const AttachTask& task) const {
  if (task.longest_call_ns() > kSlowCallNs) return "a call of its took very long";
  if (shared_.offenders.stalls(identity_.vm_id) != 0) {
    return fmt::format("it has held up the thread that served it before; vgpuctl release {} forgets that",
                       identity_.vm_id);
  }
  if (session_->memory().rings_are_short) return "";
  return fmt::format(
      "its ring lines lie in a file of {} MiB, from which a hole could be punched that stalls the others; a "
      "device of this release keeps them in a small file of their own (not in huge pages)",
      layout_.region_bytes >> 20);
}

void Connection::Post(LaneCommand::Kind kind, FenceReason reason) {
  lane_->Post({kind, reason, session_.get()});
}

void Connection::OnReport(const LaneReport& report) {
  switch (report.kind) {
    case LaneReport::Kind::kBegun: return OnBegun();
    case LaneReport::Kind::kNotBegun:
      Refuse(VGPU_ERR_QUEUE_FULL, "the mediator watches too many descriptors: raise limits.vms_max");
      return OnEnded();
    case LaneReport::Kind::kFenced: return OnFenced(report.reason);
    case LaneReport::Kind::kResetDone: return OnResetDone(report);
    case LaneReport::Kind::kSlow: return OnStall("a call or a kick of its took very long");
    case LaneReport::Kind::kLeft: return OnLeft();
    case LaneReport::Kind::kEnded: return OnEnded();
    case LaneReport::Kind::kFault:
    case LaneReport::Kind::kBroken: return;  // of no session
  }
}

void Connection::OnBegun() {
  const bool again = std::exchange(move_, Move::kNone) != Move::kNone;
  fences_asked_ = 0;
  if (state_ == State::kClosing) return Post(LaneCommand::Kind::kEnd);
  if (again) {
    if (std::exchange(reset_wanted_, false)) Reset();
    if (shared_.offenders.Quarantined(identity_.vm_id)) Fence(FenceReason::kQuarantined);
    return;
  }
  state_ = State::kAttached;
  shared_.log.SayLife(identity_.vm_id,
                      fmt::format("{} attached: pool {}, priority {}, {} rings", Name(),
                                  static_cast<char>(identity_.pool), identity_.priority, layout_.ring_count));
  AfterSend(
      channel_.Send(VGPU_MSG_GRANT, vgpu_msg_grant{identity_.vm_id, identity_.pool, identity_.priority, 0}));
  if (fence_ != FenceReason::kNone && state_ == State::kAttached) SendRingState();
  if (shared_.offenders.Quarantined(identity_.vm_id)) Fence(FenceReason::kQuarantined);
  if (state_ == State::kAttached && std::exchange(reset_wanted_, false)) HandleReset();
}

void Connection::Fence(FenceReason reason) {
  const uint32_t bit = 1u << static_cast<uint32_t>(reason);
  if (lane_ == nullptr || state_ != State::kAttached || move_ != Move::kNone || (fences_asked_ & bit) != 0)
    return;
  fences_asked_ |= bit;
  Post(LaneCommand::Kind::kFence, reason);
}

void Connection::LetGo() {
  if (Fenced(FenceReason::kQuarantined)) Close("it is released, and may attach again");
}

void Connection::OnFenced(FenceReason reason) {
  const char* remedy = reason == FenceReason::kQuarantined  ? "vgpuctl release ends that"
                       : reason == FenceReason::kMemoryLost ? "it has to attach again"
                                                            : "reset its device to use it again";
  shared_.log.Warn(fmt::format("{} is fenced: {}; {}", Name(), ToText(reason), remedy));
  fences_asked_ &= ~(1u << static_cast<uint32_t>(reason));
  // It has held up whoever met the hole.
  if (reason == FenceReason::kMemoryLost) shared_.offenders.CountStall(identity_.vm_id);
  fence_ = reason;
  if (state_ != State::kAttached) return;
  // Released meanwhile.
  if (reason == FenceReason::kQuarantined && !shared_.offenders.Quarantined(identity_.vm_id)) return LetGo();
  SendRingState();
}

void Connection::SendRingState() {
  vgpu_msg_state state{VGPU_RING_STATE_ATTACHED, VGPU_OK};
  if (fence_ != FenceReason::kNone) state = {VGPU_RING_STATE_FENCED, VGPU_ERR_FENCED};
  if (Fenced(FenceReason::kQuarantined)) state = {VGPU_RING_STATE_QUARANTINED, VGPU_ERR_QUARANTINED};
  AfterSend(channel_.Send(VGPU_MSG_STATE, state));
}

void Connection::OnResetDone(const LaneReport& report) {
  resetting_ = false;
  fence_ = report.reason;
  if (state_ != State::kAttached) return;
  if (std::exchange(reset_wanted_, false)) return Reset();
  if (Fenced(FenceReason::kMemoryLost)) return RefuseLost();
  SendRingState();
  if (state_ == State::kAttached) AfterSend(channel_.Send(VGPU_MSG_RESET_DONE, std::string_view()));
}

void Connection::OnStall(const char* what) {
  const uint32_t stalls = shared_.offenders.CountStall(identity_.vm_id);
  const bool isolated = lane_ == shared_.context.isolated_lane;
  // Fenced or not, a lane that was held up has let go of it, and serves it only after a move.
  if (state_ != State::kAttached || move_ != Move::kNone || (session_->fenced() && isolated)) return;
  if (isolated) return Fence(FenceReason::kSlow);
  shared_.log.Warn(fmt::format("{} is served apart from the others from now on: {} (stall {} of it)", Name(),
                               what, stalls));
  why_isolated_ = what;
  MoveToIsolatedLane();
}

void Connection::MoveToIsolatedLane() {
  move_ = Move::kAsked;
  Post(LaneCommand::Kind::kLeave);
}

void Connection::OnLeft() {
  if (state_ == State::kClosing) return OnEnded();
  move_ = Move::kAgain;
  if (std::exchange(resetting_, false)) reset_wanted_ = true;  // what the first lane had not finished
  lane_ = shared_.context.isolated_lane;
  Post(LaneCommand::Kind::kBeginAgain);
}

// ---- answers ----

void Connection::AfterSend(bool sent) {
  if (!sent) return Close("it does not read what it is sent, or is gone");
  if (channel_.pending() && writable_watch_ < 0) {
    writable_watch_ = shared_.context.loop->Watch(channel_.fd(), &writable_, POLLOUT);
  }
}

void Connection::OnWritable() {
  if (!channel_.Flush()) return Close("its connection closed");
  if (channel_.pending()) return;
  shared_.context.loop->Unwatch(std::exchange(writable_watch_, -1));
  if (wants_status_) shared_.host.WantStatus();
}

void Connection::Refuse(uint32_t code, const std::string& text) {
  shared_.log.Warn(fmt::format("refused uid {}, pid {}: {}", peer_.uid, peer_.pid, text));
  vgpu_msg_error error{};
  error.code = code;
  std::strncpy(error.text, text.c_str(), sizeof error.text - 1);
  channel_.Send(VGPU_MSG_ERROR, error);
  Close("it was refused");
}

// ---- the end ----

void Connection::Close(const std::string& why) {
  if (state_ == State::kClosing) return;
  const State before = std::exchange(state_, State::kClosing);
  due_ns_ = INT64_MAX;
  shared_.context.loop->Unwatch(std::exchange(watch_, -1));
  shared_.context.loop->Unwatch(std::exchange(writable_watch_, -1));
  wants_status_ = false;
  switch (before) {
    case State::kAttached:
      shared_.log.SayLife(identity_.vm_id, fmt::format("{} detached: {}", Name(), why));
      // Else the lane has it no more, or not yet, and says so.
      if (move_ == Move::kNone) Post(LaneCommand::Kind::kEnd);
      return;
    case State::kBeginning: return;  // the lane says so
    case State::kPreparing: return attach_ != nullptr ? attach_->Cancel() : shared_.host.Forget();
    default: return shared_.host.Forget();
  }
}

void Connection::OnEnded() {
  assert(state_ == State::kClosing);
  lane_ = nullptr;
  ++tasks_;
  shared_.context.memory_thread->Submit(
      std::make_unique<TeardownTask>(std::move(session_), [this] { TornDown(); }));
}

void Connection::TornDown() {
  --tasks_;
  shared_.host.Forget();
}

}  // namespace vgpu::mediator
