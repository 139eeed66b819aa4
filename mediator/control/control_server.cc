// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/control_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/control/connection.h"
#include "mediator/control/inspect_task.h"
#include "mediator/control/status.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kOperatorsMax = 64;  // connections beyond one for each VM
constexpr int kAcceptsPerIteration = 16;
constexpr int64_t kRestNs = 100'000'000;  // of the listener, when there are no descriptors
// A look at all counters, at most so often; and it takes at most a quarter of this thread's time.
constexpr int64_t kStatusPauseNs = 5'000'000;
constexpr int64_t kStatusPauseShare = 4;
// The reason of a lane's long iteration is looked for, at most so often; and that takes at most an eighth of
// a thread's time.
constexpr int64_t kInspectionPauseNs = 20'000'000;
constexpr int64_t kInspectionPauseShare = 8;

PeerId PeerOf(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {static_cast<uid_t>(-1), -1};
  return {peer.uid, peer.pid};
}

// The socket's mode keeps others out already; this says so even where somebody opened the folder up.
bool Trusted(const PeerId& peer) { return peer.uid == geteuid() || peer.uid == 0; }

}  // namespace

base::Result<std::unique_ptr<ControlServer>> ControlServer::Create(const std::string& path,
                                                                   ControlContext context) {
  base::Result<Listener> listener = ListenOn(path);
  if (!listener) return tl::make_unexpected(listener.error());
  std::unique_ptr<ControlServer> server(new ControlServer(std::move(context), std::move(*listener)));
  if (server->watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  return server;
}

ControlServer::ControlServer(ControlContext context, Listener listener)
    : context_(std::move(context)),
      listener_(std::move(listener)),
      watch_(context_.loop->Watch(listener_.fd.get(), this)),
      spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      started_ns_(MonotonicNs()) {
  Lane* const lanes[] = {context_.lane, context_.isolated_lane};
  for (size_t i = 0; i < std::size(lanes); ++i) {
    reports_[i].server = this;
    reports_[i].lane = lanes[i];
    reports_[i].watch = context_.loop->Watch(lanes[i]->report_fd(), &reports_[i]);
  }
}

ControlServer::~ControlServer() {
  connections_.clear();
  for (const Reports& reports : reports_) context_.loop->Unwatch(reports.watch);
  context_.loop->Unwatch(watch_);
}

void ControlServer::Run(const bool* stop) {
  while (!*stop && !broken_) {
    const int64_t due_ns = NextDueNs();
    context_.loop->Sleep(due_ns == INT64_MAX ? EventLoop::kForever
                                             : std::max<int64_t>(0, due_ns - MonotonicNs()));
    DoDue(MonotonicNs());
  }
}

int64_t ControlServer::NextDueNs() const {
  if (some_are_gone_) return 0;
  int64_t due_ns = std::min(listen_again_ns_, log_.due_ns());
  if (status_wanted_) due_ns = std::min(due_ns, next_status_ns_);
  if (inspect_again_ != nullptr && !inspecting_) due_ns = std::min(due_ns, next_inspection_ns_);
  for (const auto& connection : connections_) due_ns = std::min(due_ns, connection->due_ns());
  return due_ns;
}

void ControlServer::DoDue(int64_t now_ns) {
  for (const auto& connection : connections_) connection->DoDue(now_ns);
  if (some_are_gone_) RemoveGone();
  if (status_wanted_ && next_status_ns_ <= now_ns) AnswerStatus(now_ns);
  if (listen_again_ns_ <= now_ns) {
    listen_again_ns_ = INT64_MAX;
    if (!spare_) spare_ = base::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    watch_ = context_.loop->Watch(listener_.fd.get(), this);
  }
  log_.DoDue(now_ns);
  if (inspect_again_ != nullptr && !inspecting_ && next_inspection_ns_ <= now_ns) {
    Inspect(std::exchange(inspect_again_, nullptr));
  }
}

// ---- admission ----

void ControlServer::OnReady() {
  for (int i = 0; i < kAcceptsPerIteration; ++i) {
    if (!Accept()) return;
  }
}

// False: nobody is waiting, or nobody can be accepted now.
bool ControlServer::Accept() {
  PeerFd socket(accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) {
    Admit(std::move(socket));
    return true;
  }
  const int error = errno;
  if (error == EAGAIN || error == EWOULDBLOCK) return false;
  if (error == ECONNABORTED || error == EINTR) return true;
  if (error == EMFILE || error == ENFILE) {
    AcceptWithoutDescriptors(error);
  } else {
    log_.Warn(Refused("cannot accept a connection", error));
  }
  Rest(MonotonicNs());
  return false;
}

// The peer that comes next is sent away, with the descriptor that is kept for this; then nobody is looked at
// for a while.
void ControlServer::AcceptWithoutDescriptors(int error) {
  const std::string cause = Refused("a connection is refused", error);
  spare_.reset();
  const PeerFd socket(accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket)
    log_.Warn(fmt::format("{} (uid {}, pid {})", cause, PeerOf(socket.get()).uid, PeerOf(socket.get()).pid));
}

void ControlServer::Rest(int64_t now_ns) {
  context_.loop->Unwatch(std::exchange(watch_, -1));
  listen_again_ns_ = now_ns + kRestNs;
}

void ControlServer::Admit(PeerFd fd) {
  const PeerId peer = PeerOf(fd.get());
  if (!Trusted(peer)) {
    return log_.Warn(fmt::format("refused uid {}, pid {}: only root and uid {} may use this socket", peer.uid,
                                 peer.pid, geteuid()));
  }
  if (!admission_.MayConnect(peer, MonotonicNs())) {
    return log_.Warn(fmt::format("refused uid {}, pid {}: it connects too often", peer.uid, peer.pid));
  }
  if (!MakeRoom(peer))
    return log_.Warn(fmt::format("refused uid {}, pid {}: one connection too many", peer.uid, peer.pid));
  connections_.push_back(std::make_unique<Connection>(shared_, std::move(fd), peer));
  if (!connections_.back()->Open()) connections_.pop_back();
}

// Whoever has many connections that are nobody's yet loses the one that has been silent for the longest time;
// if all places are taken, whoever has most of them does.
bool ControlServer::MakeRoom(const PeerId& peer) {
  std::map<PeerId, uint32_t> idle;
  uint32_t most = 0;
  for (const auto& connection : connections_)
    most = std::max(most, idle[connection->peer()] += connection->idle() ? 1 : 0);
  const bool full = connections_.size() >= context_.config->vms_max + kOperatorsMax;
  const bool too_many = idle[peer] >= Admission::kUnattachedMax;
  if (!full && !too_many) return true;
  Connection* silent = nullptr;
  for (const auto& connection : connections_) {
    const PeerId& other = connection->peer();
    if (!connection->idle() || (too_many ? other != peer : idle[other] != most)) continue;
    if (silent == nullptr || connection->silent_since_ns() < silent->silent_since_ns())
      silent = connection.get();
  }
  if (silent == nullptr) return false;
  silent->Refuse(VGPU_ERR_QUEUE_FULL, "it has more connections that are not attached than anybody may have");
  RemoveGone();
  return true;
}

// ---- connections ----

Connection* ControlServer::OtherOwner(uint32_t vm_id, const MemoryIds& memory, const Connection* except) {
  const auto found = std::find_if(connections_.begin(), connections_.end(), [&](const auto& connection) {
    return connection.get() != except && connection->Holds(vm_id, memory);
  });
  return found == connections_.end() ? nullptr : found->get();
}

Connection* ControlServer::Find(const Session* session) {
  const auto found =
      std::find_if(connections_.begin(), connections_.end(),
                   [session](const auto& connection) { return connection->session() == session; });
  return found == connections_.end() ? nullptr : found->get();
}

size_t ControlServer::attached() const {
  return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(),
                                           [](const auto& connection) { return connection->takes_place(); }));
}

void ControlServer::RemoveGone() {
  some_are_gone_ = false;
  connections_.remove_if([](const auto& connection) { return connection->gone(); });
  // Whoever waited for one of them.
  for (const auto& connection : connections_) connection->RetryIfWaiting();
}

void ControlServer::OnReports(Lane* lane) {
  DrainEventfd(lane->report_fd());
  for (LaneReport report; lane->TakeReport(&report);) {
    if (report.kind == LaneReport::Kind::kFault) {
      OnFault(lane);
    } else if (report.kind == LaneReport::Kind::kBroken) {
      broken_ = true;
    } else if (Connection* connection = Find(report.session); connection != nullptr) {
      connection->OnReport(report);
    }
  }
}

// ---- those who disturb ----

bool ControlServer::Quarantine(uint32_t vm_id) {
  const Offenders::Added added = offenders_.Quarantine(vm_id);
  if (added != Offenders::Added::kNew) return added == Offenders::Added::kAlready;
  spdlog::warn("VM {} is quarantined; vgpuctl release {} ends that", vm_id, vm_id);
  for (const auto& connection : connections_) {
    if (connection->vm_id() == vm_id) connection->Fence(FenceReason::kQuarantined);
  }
  return true;
}

void ControlServer::Release(uint32_t vm_id) {
  spdlog::info("VM {} is released", vm_id);
  offenders_.Release(vm_id);
  for (const auto& connection : connections_) {
    if (connection->vm_id() == vm_id) connection->LetGo();
  }
}

void ControlServer::OnFault(Lane* lane) {
  if (inspecting_ || MonotonicNs() < next_inspection_ns_) {
    inspect_again_ = lane;
    return;
  }
  Inspect(lane);
}

void ControlServer::Inspect(Lane* lane) {
  std::vector<InspectTask::Subject> subjects;
  for (const auto& connection : connections_) {
    if (!connection->served() || connection->lane() != lane) continue;
    const base::GuardedMapping& region = connection->session()->memory().region;
    const Session& session = *connection->session();
    if (region) subjects.push_back({session.serial(), session.mapped(), region.data(), region.bytes()});
  }
  inspecting_ = true;
  const int64_t begin_ns = MonotonicNs();
  context_.memory_thread->SubmitUrgent(
      std::make_unique<InspectTask>(std::move(subjects), [this, lane, begin_ns](const auto& inspected) {
        inspecting_ = false;
        const int64_t now_ns = MonotonicNs();
        next_inspection_ns_ =
            now_ns + std::max(kInspectionPauseNs, kInspectionPauseShare * (now_ns - begin_ns));
        for (const InspectTask::Subject& subject : inspected)
          Inspected(lane, subject.serial, subject.finding);
      }));
}

void ControlServer::Inspected(const Lane* lane, uint64_t serial, Finding finding) {
  if (finding == Finding::kWhole) return;
  const auto is_it = [lane, serial](const auto& entry) {
    return entry->served() && entry->lane() == lane && entry->session()->serial() == serial;
  };
  const auto found = std::find_if(connections_.begin(), connections_.end(), is_it);
  if (found == connections_.end()) return;
  Connection* connection = found->get();
  if (finding == Finding::kLost) return connection->Fence(FenceReason::kMemoryLost);
  connection->OnStall("pages of its memory were taken away and replaced");
}

// ---- status ----

void ControlServer::AnswerStatus(int64_t now_ns) {
  status_wanted_ = false;
  const std::string text = StatusText();
  for (const auto& connection : connections_) {
    if (connection->wants_status()) connection->AnswerStatus(text);
  }
  const int64_t took_ns = MonotonicNs() - now_ns;
  next_status_ns_ = now_ns + std::max(kStatusPauseNs, kStatusPauseShare * took_ns);
}

std::string ControlServer::StatusText() const {
  vgpu_device_info device = context_.device;
  context_.lane->Describe('A', &device);  // a GPU may have come since the start
  StatusView view{device, MonotonicNs() - started_ns_, context_.lane->counters(), {}};
  for (const auto& connection : connections_) {
    if (!connection->served()) continue;
    const uint32_t vm_id = connection->vm_id();
    view.vms.push_back({connection->session(), connection->peer(), offenders_.Quarantined(vm_id),
                        connection->lane() == context_.isolated_lane, connection->why_isolated(),
                        offenders_.stalls(vm_id)});
  }
  return StatusJson(view);
}

}  // namespace vgpu::mediator
