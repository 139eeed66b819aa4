// SPDX-License-Identifier: Apache-2.0
// The C ABI: translates, and lets no exception out.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "api/codes.h"
#include "api/device_info.h"
#include "guest/client.h"
#include "guest/open.h"
#include "guest/vgpu.h"

using vgpu::guest::Answer;
using vgpu::guest::Buffer;
using vgpu::guest::Client;
using vgpu::guest::Clock;
using vgpu::guest::Error;
using vgpu::guest::ExplainCode;
using vgpu::guest::HostOptions;
using vgpu::guest::OpenTransport;
using vgpu::guest::PciOptions;
using vgpu::guest::Refused;
using vgpu::guest::Result;
using vgpu::guest::TimePoint;

struct vgpu_handle {
  std::unique_ptr<Client> client;
  std::map<uint64_t, Buffer> buffers;  // by offset; freed before the client
  std::chrono::milliseconds timeout;
  std::string last_error;

  TimePoint deadline() const { return Clock::now() + timeout; }
};

namespace {

int Failed(vgpu_handle* handle, const Error& error) {
  handle->last_error = error.text;
  return static_cast<int>(error.code);
}

int Failed(vgpu_handle* handle, uint32_t code) { return Failed(handle, {code, ExplainCode(code)}); }

// The code of an answer; its text only where it refuses.
int Answered(vgpu_handle* handle, const Answer& answer, uint32_t* data) {
  if (data != nullptr) *data = answer.data;
  return answer.code == VGPU_OK ? 0 : Failed(handle, Refused(answer.code));
}

// Memory may run out in the functions that allocate.
template <class Body>
int Guarded(vgpu_handle* handle, Body body) {
  try {
    return body();
  } catch (const std::exception& e) {
    return Failed(handle, {VGPU_ERR_SYSTEM, std::string("out of resources: ") + e.what()});
  }
}

void CopyText(const std::string& text, char* to, size_t bytes) {
  if (to == nullptr || bytes == 0) return;
  const size_t length = std::min(text.size(), bytes - 1);
  std::memcpy(to, text.data(), length);
  to[length] = '\0';
}

Result<std::unique_ptr<Client>> OpenClient(const vgpu_options& options, TimePoint deadline) {
  PciOptions pci;
  if (options.device != nullptr) pci.device = options.device;
  HostOptions host;
  if (options.socket != nullptr) host.socket = options.socket;
  host.vm_id = options.vm_id;
  host.pool = static_cast<char>(options.pool);
  host.priority = options.priority;
  // As many rings as it takes; each would get its share of the region.
  host.rings = std::min(options.ring, VGPU_RINGS_MAX - 1) + 1;
  auto transport = OpenTransport(pci, host, deadline);
  if (!transport) return tl::make_unexpected(transport.error());
  return Client::Open(std::move(*transport), options.ring, deadline);
}

int WaitUntil(vgpu_handle* handle, uint32_t idx, TimePoint deadline, uint32_t* data) {
  const auto answer = handle->client->Wait(idx, deadline);
  return answer ? Answered(handle, *answer, data) : Failed(handle, answer.error());
}

}  // namespace

extern "C" {

int vgpu_open(const struct vgpu_options* options, struct vgpu_handle** out, char* why, size_t why_bytes) {
  *out = nullptr;
  try {
    const std::chrono::milliseconds timeout(options->timeout_ms);
    auto client = OpenClient(*options, Clock::now() + timeout);
    if (!client) {
      CopyText(client.error().text, why, why_bytes);
      return static_cast<int>(client.error().code);
    }
    *out = new vgpu_handle{std::move(*client), {}, timeout, ""};
    return 0;
  } catch (const std::exception& e) {
    CopyText(std::string("out of resources: ") + e.what(), why, why_bytes);
    return static_cast<int>(VGPU_ERR_SYSTEM);
  }
}

void vgpu_close(struct vgpu_handle* handle) {
  if (handle == nullptr) return;
  (void)handle->client->Close(
      handle->deadline());  // the next owner's handshake cleans up what this one could not
  delete handle;
}

int vgpu_submit(struct vgpu_handle* handle, uint32_t opcode, uint32_t type, const uint64_t* args, uint32_t n,
                uint32_t* idx) {
  if (n > VGPU_SLOT_ARGS || opcode > 0xffff || type > 0xff) return Failed(handle, VGPU_ERR_BAD_ARGUMENT);
  if (!handle->client->CanSubmit()) return Failed(handle, VGPU_ERR_QUEUE_FULL);
  *idx = handle->client->Submit(opcode, type, args, n);
  return 0;
}

void vgpu_flush(struct vgpu_handle* handle) { handle->client->Flush(); }

int vgpu_poll(struct vgpu_handle* handle, uint32_t idx, uint32_t* data) {
  Answer answer;
  return handle->client->Poll(idx, &answer) ? Answered(handle, answer, data) : VGPU_PENDING;
}

int vgpu_wait(struct vgpu_handle* handle, uint32_t idx, uint64_t timeout_ns, uint32_t* data) {
  // A century is for ever; more would overflow the clock.
  const auto timeout = std::min<uint64_t>(timeout_ns, 3'155'760'000'000'000'000);
  return Guarded(
      handle, [&] { return WaitUntil(handle, idx, Clock::now() + std::chrono::nanoseconds(timeout), data); });
}

int vgpu_alloc(struct vgpu_handle* handle, uint64_t bytes, void** data, uint64_t* offset) {
  return Guarded(handle, [&] {
    auto buffer = handle->client->Allocate(bytes);
    if (!buffer) return Failed(handle, buffer.error());
    *data = buffer->data();
    *offset = buffer->offset();
    handle->buffers.emplace(*offset, std::move(*buffer));
    return 0;
  });
}

int vgpu_free(struct vgpu_handle* handle, uint64_t offset) {
  if (handle->buffers.erase(offset) == 1) return 0;
  return Failed(handle, {VGPU_ERR_BAD_ARGUMENT, "no buffer begins at this offset"});
}

int vgpu_add(struct vgpu_handle* handle, int32_t a, int32_t b, int32_t* sum) {
  return Guarded(handle, [&] {
    if (!handle->client->CanSubmit()) return Failed(handle, VGPU_ERR_QUEUE_FULL);
    uint32_t data = 0;
    const int code = WaitUntil(handle, handle->client->Add(a, b), handle->deadline(), &data);
    if (code == 0) *sum = static_cast<int32_t>(data);
    return code;
  });
}

int vgpu_vector_add(struct vgpu_handle* handle, uint32_t type, uint64_t count, uint64_t a_off, uint64_t b_off,
                    uint64_t c_off) {
  return Guarded(handle, [&] {
    if (!handle->client->CanSubmit()) return Failed(handle, VGPU_ERR_QUEUE_FULL);
    return WaitUntil(handle, handle->client->VectorAdd(type, count, a_off, b_off, c_off), handle->deadline(),
                     nullptr);
  });
}

int vgpu_info(struct vgpu_handle* handle, struct vgpu_device_info* info) {
  return Guarded(handle, [&] {
    const auto got = handle->client->Info(handle->deadline());
    if (!got) return Failed(handle, got.error());
    *info = *got;
    return 0;
  });
}

const char* vgpu_last_error(const struct vgpu_handle* handle) { return handle->last_error.c_str(); }

const char* vgpu_strerror(int code) {
  if (code == VGPU_PENDING) return "The answer is not there yet.";
  return ExplainCode(static_cast<uint32_t>(code));
}

}  // extern "C"
