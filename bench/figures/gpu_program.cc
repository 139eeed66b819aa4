// SPDX-License-Identifier: Apache-2.0
// The gates of the GPU: //bench:gpu measures them, in a process of its own.
#include <sys/wait.h>

#include "bench/figures/figures.h"

namespace vgpu::bench {

Result<void> MeasureGpu(const Effort& effort, Results* results) {
  const auto program = Runfile("bench/programs/gpu");
  if (!program) return tl::make_unexpected(program.error());
  const TempDir folder;
  std::vector<std::string> argv = {*program, "--json", folder / "figures"};
  if (effort.quick) argv.push_back("--quick");
  SpawnOptions options;
  options.out = folder / "out";
  auto child = Spawn(argv, options);
  if (!child) return tl::make_unexpected(child.error());
  const int status = child->Wait();
  const auto json = nlohmann::json::parse(ReadFile(folder / "figures"), nullptr, /*allow_exceptions=*/false);
  if (!json.is_discarded()) {
    for (const auto& figure : json.at("figures")) results->figures.push_back(FigureFrom(figure));
    return {};
  }
  const std::string said = ReadFile(options.out);
  if (status != 0) return tl::make_unexpected("//bench:gpu failed: run it by itself to see why");
  const std::string skipped = "SKIPPED: ";
  const size_t end = said.find('\n');
  results->figures.push_back(Skipped("gpu", said.starts_with(skipped)
                                                ? said.substr(skipped.size(), end - skipped.size())
                                                : "//bench:gpu measured nothing"));
  return {};
}

}  // namespace vgpu::bench
