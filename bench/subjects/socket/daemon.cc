// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/daemon.h"

#include <cstring>

namespace vgpu::bench::socket {
namespace {

constexpr uint32_t kInvalidRequest = 1;

uint32_t Check(const Message& request, const AddRequest& add) {
  const bool whole = request.header.bytes == sizeof add;
  return whole && add.version == kVersion && add.opcode == kVectorAdd && add.param_count == 2
             ? 0
             : kInvalidRequest;
}

}  // namespace

void Answer(const Message& request, Message* response) {
  AddRequest add;
  std::memcpy(&add, request.body.data(), sizeof add);
  AddResponse answer{};
  answer.version = kVersion;
  answer.status = Check(request, add);
  answer.result_count = 1;
  answer.results[0] = add.params[0] + add.params[1];
  response->header = {sizeof answer, request.header.request_id};
  std::memcpy(response->body.data(), &answer, sizeof answer);
}

}  // namespace vgpu::bench::socket
