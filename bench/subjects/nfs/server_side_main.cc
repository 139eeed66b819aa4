// SPDX-License-Identifier: Apache-2.0
// nfs_server_side: the old system's host program, on a folder that an NFS server exports.
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/cli/options.h"
#include "base/cli/program.h"
#include "base/unique_fd.h"
#include "bench/subjects/nfs/server_side.h"

namespace {

namespace fs = std::filesystem;

// Sleeps until something is written in a folder that was there at the start. Against looking without a pause,
// a run of 1,000 requests of each on two processors: 1.5 ms instead of 2.1 with direct I/O, the same by name
// (5.0 and 5.1 ms): the NFS server has the processor to itself.
class Watch {
 public:
  explicit Watch(const std::string& folder) : events_(inotify_init1(IN_CLOEXEC)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (inotify_add_watch(events_.get(), entry.path().c_str(), IN_MODIFY | IN_CREATE) < 0) {
        throw std::runtime_error("cannot watch " + entry.path().string() +
                                 ": is fs.inotify.max_user_watches reached?");
      }
    }
  }

  void Wait() const {
    alignas(inotify_event) std::array<char, 4096> events;
    if (read(events_.get(), events.data(), events.size()) <= 0)
      throw std::runtime_error("cannot watch the folder");
  }

 private:
  const vgpu::base::UniqueFd events_;
};

int Run(int argc, char** argv) {
  std::string folder;
  uint32_t every_ms = 1000;
  vgpu::cli::Program program("nfs_server_side", "The host's program of the old NFS system.");
  vgpu::cli::AddText(program.app(), "FOLDER", &folder, "has the folders vm<id>")->required();
  vgpu::cli::AddInteger(program.app(), "--every-ms", &every_ms,
                        "how often to look; 0: as soon as something is written");
  if (const auto status = program.Parse(argc, argv)) return *status;
  vgpu::bench::nfs::ServerSide host(folder);
  const Watch watch(folder);
  for (;;) {
    host.Poll();
    while (host.ServeOne()) {}
    if (every_ms == 0) {
      watch.Wait();
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(every_ms));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nfs_server_side: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
