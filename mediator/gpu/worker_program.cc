// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/worker_program.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMediator = "mediator";
constexpr std::string_view kWorker = "vgpu-worker";

}  // namespace

fs::path OwnProgram() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error);
}

std::vector<fs::path> WorkerPlaces(const fs::path& mediator) {
  const std::string name = mediator.filename().string();
  const bool ours = name.starts_with(kMediator);
  const std::string worker = std::string(kWorker) + (ours ? name.substr(kMediator.size()) : "");
  const fs::path folder = mediator.parent_path();
  return {folder / worker, folder.parent_path() / "libexec" / "vgpu-ring" / worker};
}

base::Result<base::UniqueFd> OpenWorker(const fs::path& mediator) {
  const std::vector<fs::path> places = WorkerPlaces(mediator);
  for (const fs::path& place : places) {
    base::UniqueFd fd(open(place.c_str(), O_PATH | O_CLOEXEC));
    if (fd) return base::Result<base::UniqueFd>(std::move(fd));
    if (errno != ENOENT && errno != ENOTDIR) {
      return tl::make_unexpected(Refused("cannot open " + place.string(), errno));
    }
  }
  return tl::make_unexpected(fmt::format(
      "the program that uses GPUs is missing, neither {} nor {} is there: install it from the release "
      "of this mediator",
      places[0].string(), places[1].string()));
}

}  // namespace vgpu::mediator
