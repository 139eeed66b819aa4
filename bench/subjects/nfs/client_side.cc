// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/client_side.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "bench/subjects/nfs/exchange.h"
#include "bench/subjects/nfs/request.h"
#include "bench/subjects/nfs/vector_file.h"

namespace vgpu::bench::nfs {
namespace {

using Clock = std::chrono::steady_clock;

class FolderWay final : public VectorWay {
 public:
  // The working directory is the folder already.
  FolderWay(const ClientPlan& plan, uint32_t vm_id, const VectorRun& run)
      : plan_(plan),
        vm_id_(vm_id),
        vector_(run.elements),
        random_(run.seed),
        pause_us_(0, plan.pause_max.count()),
        exchange_(plan.direct ? MakeDirectExchange() : MakeExchangeByPath()) {
    exchange_->Forget();
  }

  void Before() override { std::this_thread::sleep_for(std::chrono::microseconds(pause_us_(random_))); }
  void After() override { exchange_->Forget(); }

  void Add(const VectorMemory& memory) override {
    const auto deadline = Clock::now() + plan_.timeout;
    Request request = {plan_.pool, plan_.priority, vm_id_, 0, 0, vector_};
    if (vector_ != 0) {
      AddByFiles(request, memory, deadline);
    } else {
      request.num1 = static_cast<int32_t>(memory.a[0]);
      request.num2 = static_cast<int32_t>(memory.b[0]);
      const bool right = Answer(request, deadline) == fmt::format("{}\n", request.sum());
      memory.c[0] = static_cast<uint32_t>(right ? request.sum() : ~request.sum());
    }
  }

 private:
  void AddByFiles(const Request& request, const VectorMemory& memory, Clock::time_point deadline) {
    const size_t bytes = memory.count * sizeof(uint32_t);
    exchange_->Write(kFileOfA, memory.a, bytes);
    exchange_->Write(kFileOfB, memory.b, bytes);
    const std::string answer = Answer(request, deadline);
    if (answer != fmt::format("{}\n", request.vector))
      throw std::runtime_error("another request's answer: " + answer);
    exchange_->Read(kFileOfSums, memory.c, bytes);
  }

  std::string Answer(const Request& request, Clock::time_point deadline) {
    exchange_->Send(TextOf(request));
    for (;;) {
      std::string line = exchange_->Poll();
      if (line.starts_with("ERROR")) throw std::runtime_error("refused: " + line);
      if (!line.empty()) return line;
      if (Clock::now() > deadline)
        throw std::runtime_error(fmt::format("no answer within {} s", plan_.timeout.count()));
      if (plan_.poll_every.count() > 0) std::this_thread::sleep_for(plan_.poll_every);
    }
  }

  const ClientPlan plan_;
  const uint32_t vm_id_;
  const uint64_t vector_;
  std::mt19937_64 random_;
  std::uniform_int_distribution<int64_t> pause_us_;
  const std::unique_ptr<Exchange> exchange_;
};

}  // namespace

RunResult Ask(const ClientPlan& plan, const VectorRun& run) {
  const std::filesystem::path folder = std::filesystem::absolute(plan.folder).lexically_normal();
  const auto vm_id = VmIdOf(folder.filename().string());
  if (!vm_id) throw std::runtime_error(fmt::format("{} is {}", plan.folder, vm_id.error()));
  // So that no look walks the path to it again, over the network where lookups are not cached.
  if (chdir(folder.c_str()) != 0) throw std::system_error(errno, std::generic_category(), plan.folder);
  FolderWay way(plan, *vm_id, run);
  return RunVectors(way, run);
}

}  // namespace vgpu::bench::nfs
