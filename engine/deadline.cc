// SPDX-License-Identifier: Apache-2.0
#include "engine/deadline.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "engine/channel.h"
#include "engine/options.h"

namespace vgpu::engine {
namespace {

Message last_words{};            // written before the timer starts
std::atomic<bool> armed{false};  // an alarm may still be on its way when its timer is stopped

// Only what a signal handler may do.
void OnAlarm(int) {
  if (!armed) return;
  send(kSocketFd, &last_words, sizeof last_words, MSG_NOSIGNAL | MSG_DONTWAIT);
  _exit(EXIT_FAILURE);
}

void SetTimer(std::chrono::milliseconds time) {
  itimerval timer{};
  timer.it_value.tv_sec = time.count() / 1000;
  timer.it_value.tv_usec = time.count() % 1000 * 1000;
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

Deadline::Deadline(std::chrono::milliseconds time, const char* what) {
  last_words.type = kHangs;
  SetText(last_words.text, fmt::format("the driver hangs: {} takes more than {} ms (gpu.start_ms)", what, time.count()));
  signal(SIGALRM, OnAlarm);
  armed = true;
  SetTimer(time);
}

Deadline::~Deadline() {
  armed = false;
  SetTimer(std::chrono::milliseconds(0));
}

}  // namespace vgpu::engine
