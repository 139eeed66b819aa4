// SPDX-License-Identifier: Apache-2.0
// A file of a file system (FUSE) whose server can stop answering: what asks it, or closes it, waits for as
// long as a test wants.
#ifndef VGPU_TESTS_DAEMON_UNANSWERED_FILE_H_
#define VGPU_TESTS_DAEMON_UNANSWERED_FILE_H_

#include <linux/fuse.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace vgpu::test {

// Mounted in a mount namespace of this process, so that nothing stays behind: made before any thread is.
class UnansweredFile {
 public:
  // See problem().
  UnansweredFile();
  ~UnansweredFile();
  UnansweredFile(const UnansweredFile&) = delete;
  UnansweredFile& operator=(const UnansweredFile&) = delete;

  // Why there is no such file here; "" if there is.
  const std::string& problem() const { return problem_; }
  int fd() const { return file_.get(); }
  // From now on nobody gets an answer.
  void Stop() { stopped_ = true; }
  // How many wait for one.
  size_t waiting();
  // All who wait are answered, and whoever comes later.
  void GoOn();

 private:
  bool Mount();
  void Serve();

  std::string problem_;
  std::string folder_;
  base::UniqueFd server_;
  base::UniqueFd file_;
  std::thread thread_;
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::vector<fuse_in_header> waiting_;
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_DAEMON_UNANSWERED_FILE_H_
