// SPDX-License-Identifier: Apache-2.0
// For tests: programs as child processes, and where Bazel has put them.
#ifndef VGPU_GUEST_SUBPROCESS_H_
#define VGPU_GUEST_SUBPROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace vgpu::guest {

// The path of a program of this project; `target` is "folder/name".
std::string ProgramPath(const std::string& target);

struct Outcome {
  int exit_code = -1;  // 128 + the signal's number if one ended it
  std::string out;
  std::string err;
};

// Runs a program to its end; after `timeout_s` seconds kills it.
Outcome RunProgram(const std::vector<std::string>& argv, int timeout_s = 60);

// A program in the background, killed at the end of this object's life.
class Background {
 public:
  // Its output goes to `log`.
  Background(const std::vector<std::string>& argv, const std::string& log);
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() { Kill(); }

  // SIGKILL, and waits until the process is gone.
  void Kill();
  void Signal(int number) const;
  // Waits for its end; its exit status, or 128 + the signal's number.
  int Join();
  bool running() const;

 private:
  pid_t pid_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_SUBPROCESS_H_
