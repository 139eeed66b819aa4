// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/lane.h"

#include <pthread.h>

#include <future>
#include <utility>

#include "base/crash_point.h"
#include "base/result.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"
#include "mediator/loop/uring_loop.h"

namespace vgpu::mediator {
namespace {

// Of each session: a command or report of each kind.
constexpr uint32_t kMessagesPerSession = 16;
constexpr uint32_t kMessagesBeside = 8;

}  // namespace

base::Result<std::unique_ptr<Lane>> Lane::Make(LaneOptions options) {
  const uint32_t messages = options.dispatcher.sessions_max * kMessagesPerSession + kMessagesBeside;
  std::unique_ptr<Lane> lane(new Lane(std::move(options)));
  auto commands = Mailbox<LaneCommand>::Create(messages);
  if (!commands) return tl::make_unexpected(commands.error());
  auto reports = Mailbox<LaneReport>::Create(messages);
  if (!reports) return tl::make_unexpected(reports.error());
  lane->commands_ = std::move(*commands);
  lane->reports_ = std::move(*reports);
  return lane;
}

base::Result<std::unique_ptr<Lane>> Lane::Start(LaneOptions options, MakeBackend make_backend,
                                                serve::TraceSink* trace, const Clock* clock) {
  auto made = Make(std::move(options));
  if (!made) return made;
  std::unique_ptr<Lane> lane = std::move(*made);
  const auto opened = std::make_shared<std::promise<base::Result<void>>>();
  auto thread = StartThread("that serves rings", [lane = lane.get(), opened, &make_backend, trace, clock] {
    pthread_setname_np(pthread_self(), lane->options_.name.c_str());
    auto loop = MakeUringLoop(lane->options_.watches_max);
    auto result = loop ? lane->Open(std::move(*loop), make_backend, trace, clock)
                       : base::Result<void>(tl::make_unexpected(loop.error()));
    const bool serves = result.has_value();
    opened->set_value(std::move(result));
    if (serves) lane->Serve();
    lane->Close();
  });
  if (!thread) return tl::make_unexpected(thread.error());
  lane->thread_ = std::move(*thread);
  auto result = opened->get_future().get();
  if (!result) return tl::make_unexpected(std::move(result.error()));
  return lane;
}

base::Result<std::unique_ptr<Lane>> Lane::StartHere(LaneOptions options, std::unique_ptr<EventLoop> loop,
                                                    const MakeBackend& make_backend, serve::TraceSink* trace,
                                                    const Clock* clock) {
  auto lane = Make(std::move(options));
  if (!lane) return lane;
  if (const auto opened = (*lane)->Open(std::move(loop), make_backend, trace, clock); !opened) {
    return tl::make_unexpected(opened.error());
  }
  return lane;
}

base::Result<void> Lane::Open(std::unique_ptr<EventLoop> loop, const MakeBackend& make_backend,
                              serve::TraceSink* trace, const Clock* clock) {
  PrepareToSignal();
  loop_ = std::move(loop);
  loop_->OnBroken([this] {
    stop_ = true;
    error_ = loop_->error();
    Report(LaneReport::Kind::kBroken, nullptr);
  });
  auto backend = make_backend(loop_.get());
  if (!backend) return tl::make_unexpected(backend.error());
  backend_ = std::move(*backend);
  const Backend roles{backend_->workers.get(), backend_->gpus.get(), backend_->memory};
  dispatcher_ = std::make_unique<Dispatcher>(loop_.get(), roles, static_cast<SessionOwner*>(this), trace,
                                             clock, options_.dispatcher);
  dispatcher_->set_on_fault([this] {
    if (!fault_reported_.exchange(true)) Report(LaneReport::Kind::kFault, nullptr);
  });
  if (loop_->Watch(commands_->fd(), this) < 0)
    return tl::make_unexpected(std::string("the event loop has no room"));
  return {};
}

// The dispatcher stays: its counters may be looked at.
void Lane::Close() {
  backend_.reset();
  loop_.reset();
}

Lane::~Lane() { Stop(); }

void Lane::Stop() {
  if (!thread_.joinable()) return;
  Post({});
  thread_.join();
}

bool Lane::TakeReport(LaneReport* report) {
  if (!reports_->Take(report)) return false;
  if (report->kind == LaneReport::Kind::kFault) fault_reported_.store(false);
  return true;
}

void Lane::OnReady() {
  DrainEventfd(commands_->fd());
  // One in an iteration: rings are served in between, however many come and go.
  if (LaneCommand command; commands_->Take(&command)) Carry(command);
  if (!commands_->empty()) SignalEventfd(commands_->fd());
}

void Lane::Carry(const LaneCommand& command) {
  using Kind = LaneCommand::Kind;
  switch (command.kind) {
    case Kind::kBegin:
    case Kind::kBeginAgain: {
      const bool begun = dispatcher_->Begin(command.session, command.kind == Kind::kBeginAgain);
      Report(begun ? LaneReport::Kind::kBegun : LaneReport::Kind::kNotBegun, command.session);
      if (begun) VGPU_CRASH_POINT("after_begin");
      return;
    }
    case Kind::kReset: return dispatcher_->Reset(command.session);
    case Kind::kFence: return dispatcher_->Fence(command.session, command.reason);
    case Kind::kLeave: return dispatcher_->Leave(command.session);
    case Kind::kEnd: return dispatcher_->End(command.session);
    case Kind::kStop: stop_ = true;
  }
}

}  // namespace vgpu::mediator
