// SPDX-License-Identifier: Apache-2.0
// What every program of ours does first.
#ifndef VGPU_BASE_PROGRAM_H_
#define VGPU_BASE_PROGRAM_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

namespace vgpu::base {

// Whoever started us may have closed descriptors 0 to 2: the next file that is opened would be what we print into.
inline void OpenStandardDescriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    int opened = open("/dev/null", O_RDWR);
    if (opened < 0) opened = open("/", O_RDONLY);  // no /dev: nothing can be written to a folder either
    if (opened != fd) std::_Exit(EXIT_FAILURE);
  }
}

// Before anything else, and before there are threads.
inline void PrepareProgram() {
  OpenStandardDescriptors();
  signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes (ulimit -f) is an error to be named, not the end
}

// Nobody of the same user looks into this process's memory and descriptors (through /proc, with a debugger, in a core file):
// they are the VMs'. VGPU_DUMPABLE in the environment, which only who starts it can set, is for debugging.
inline void HideProcess() {
  if (std::getenv("VGPU_DUMPABLE") == nullptr) prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_PROGRAM_H_
