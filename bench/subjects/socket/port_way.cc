// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/port_way.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"
#include "bench/subjects/socket/stream.h"
#include "bench/subjects/socket/vector_message.h"

namespace vgpu::bench::socket {
namespace {

// What one write to a port carries: Linux cuts it there. A request that fits is one write and one buffer for
// QEMU, its answer one read.
constexpr size_t kPieceBytes = 32 * 1024;

class PortWay final : public VectorWay {
 public:
  explicit PortWay(const std::string& device)
      : port_(open(device.c_str(), O_RDWR | O_CLOEXEC)), piece_(kPieceBytes) {
    if (!port_) throw std::system_error(errno, std::generic_category(), device);
  }

  void Add(const VectorMemory& memory) override {
    const size_t bytes = memory.count * sizeof(uint32_t);
    const VectorRequest request = {kVectorVersion, ++request_id_, memory.count};
    VectorResponse response;
    if (sizeof request + 2 * bytes <= kPieceBytes) {
      AddInOnePiece(request, memory, &response);
    } else {
      Must(WriteAll(port_.get(), &request, sizeof request) && WriteAll(port_.get(), memory.a, bytes) &&
           WriteAll(port_.get(), memory.b, bytes));
      Must(ReadAll(port_.get(), &response, sizeof response));
      Check(request, response);
      Must(ReadAll(port_.get(), memory.c, bytes));
    }
  }

 private:
  void AddInOnePiece(const VectorRequest& request, const VectorMemory& memory, VectorResponse* response) {
    const size_t bytes = memory.count * sizeof(uint32_t);
    std::memcpy(piece_.data(), &request, sizeof request);
    std::memcpy(piece_.data() + sizeof request, memory.a, bytes);
    std::memcpy(piece_.data() + sizeof request + bytes, memory.b, bytes);
    Must(WriteAll(port_.get(), piece_.data(), sizeof request + 2 * bytes));
    Must(ReadAll(port_.get(), piece_.data(), sizeof *response + bytes));
    std::memcpy(response, piece_.data(), sizeof *response);
    Check(request, *response);
    std::memcpy(memory.c, piece_.data() + sizeof *response, bytes);
  }

  static void Must(bool done) {
    if (!done) throw std::runtime_error("the daemon is gone, or has refused the request");
  }
  static void Check(const VectorRequest& request, const VectorResponse& response) {
    Must(response.status == kOk && response.request_id == request.request_id &&
         response.count == request.count);
  }

  const base::UniqueFd port_;
  std::vector<char> piece_;
  uint32_t request_id_ = 0;
};

}  // namespace

std::unique_ptr<VectorWay> MakePortWay(const std::string& device) {
  return std::make_unique<PortWay>(device);
}

}  // namespace vgpu::bench::socket
