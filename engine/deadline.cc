// SPDX-License-Identifier: Apache-2.0
#include "engine/deadline.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "base/channel.h"
#include "engine/messages.h"
#include "engine/options.h"

namespace vgpu::engine {
namespace {

TextMessage last_words{};        // written before the timer starts
std::atomic<bool> armed{false};  // an alarm may still be on its way when its timer is stopped
// The time comes in so many alarms: to a process that stands still (frozen, suspended) they are one, and not
// its driver's fault.
constexpr int kAlarms = 16;
std::atomic<int> alarms_left{0};

// Only what a signal handler may do.
void OnAlarm(int) {
  if (!armed || --alarms_left > 0) return;
  base::SendFrame(kSocketFd, kEngineFormat, kHangs, BytesOf(last_words));
  _exit(EXIT_FAILURE);
}

void SetTimer(std::chrono::milliseconds time) {
  itimerval timer{};
  const int64_t step_us = time.count() * 1000 / kAlarms;
  timer.it_value.tv_sec = step_us / 1'000'000;
  timer.it_value.tv_usec = step_us % 1'000'000;
  timer.it_interval = timer.it_value;
  alarms_left = kAlarms;
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

Deadline::Deadline(std::chrono::milliseconds time, const char* what) {
  SetText(last_words.text,
          fmt::format("the driver hangs: {} takes more than {} ms (gpu.start_ms)", what, time.count()));
  signal(SIGALRM, OnAlarm);
  armed = true;
  SetTimer(time);
}

Deadline::~Deadline() {
  armed = false;
  SetTimer(std::chrono::milliseconds(0));
}

}  // namespace vgpu::engine
