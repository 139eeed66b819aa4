// SPDX-License-Identifier: Apache-2.0
#include "guest/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "api/codes.h"

namespace vgpu::guest {
namespace {

struct CodeText {
  uint32_t code;
  const char* name;
  const char* explanation;
};

constexpr CodeText kCodes[] = {
    {VGPU_OK, "ok", "No error."},
    {VGPU_ERR_INVALID_REQUEST, "invalid request",
     "The mediator found the request malformed: check its type, its count, and that its offsets are aligned "
     "and inside this ring's arena."},
    {VGPU_ERR_TOO_LARGE, "too large",
     "The request is larger than the mediator accepts: split it (`vgpu-client info` shows the limits)."},
    {VGPU_ERR_UNAVAILABLE, "mediator unavailable",
     "No mediator answers for this VM: start it on the host, or check that it uses the socket that the VM "
     "was given."},
    {VGPU_ERR_TIMEOUT, "timeout",
     "The answer did not come in time: allow more time, or look at the mediator's load with `vgpuctl "
     "status`."},
    {VGPU_ERR_CUDA, "CUDA error",
     "No mediator of this release sends this code, which is reserved for failures of the GPU: see the "
     "mediator's log on the host."},
    {VGPU_ERR_INVALID_POOL, "invalid pool",
     "The pool is unknown or not granted to this VM: use 'A' or 'B', as the mediator's configuration has "
     "it."},
    {VGPU_ERR_QUEUE_FULL, "queue full",
     "Every slot of the ring is in use: take answers before submitting more."},
    {VGPU_ERR_UNSUPPORTED, "unsupported operation",
     "This mediator does not know the operation: update it, or use another operation."},
    {VGPU_ERR_INVALID_LENGTH, "invalid length",
     "The length does not fit the operation: check it against the manual."},
    {VGPU_ERR_RATE_LIMITED, "rate limited",
     "No mediator of this release sends this code, which is reserved for a VM that sends too much: slow down "
     "and send again."},
    {VGPU_ERR_QUARANTINED, "quarantined",
     "This VM is quarantined by the host's operator and gets nothing done until it is released there (with "
     "`vgpuctl release`): ask the operator."},
    {VGPU_ERR_INTERRUPTED, "interrupted",
     "The mediator or the GPU engine died while it worked on this request, whose effect is unknown: restore "
     "its operands and send it again."},
    {VGPU_ERR_FENCED, "fenced",
     "The mediator ended this session: shared memory held something impossible, pages of it were taken away, "
     "or it held up other VMs. Close this ring and reset the device (reboot the VM) or, for a host process, "
     "attach again."},
    {VGPU_ERR_RESET, "reset", "The ring was closed or reset under this program: open it again."},
    {VGPU_ERR_CANCELLED, "cancelled",
     "The wait was given up, and the request stays in its slot: wait for it again."},
    {VGPU_ERR_NO_DEVICE, "no device",
     "This machine has no vgpu-stub device: add `-device vgpu-stub,...` to the VM, or use --socket on the "
     "host."},
    {VGPU_ERR_NO_PERMISSION, "no permission", "This user may not open the device: run as root."},
    {VGPU_ERR_RING_BUSY, "ring busy", "Another process owns this ring: choose another one with --ring."},
    {VGPU_ERR_VERSION, "wrong version",
     "Device, mediator and this program speak different versions: install matching ones."},
    {VGPU_ERR_BAD_ARGUMENT, "bad argument", "The call itself is wrong; nothing was sent."},
    {VGPU_ERR_NO_ARENA, "arena full",
     "The ring's arena has no room for this buffer: free others, use smaller pieces, or give the VM a larger "
     "region."},
    {VGPU_ERR_SYSTEM, "system error", "The operating system refused something this needs."},
    {VGPU_ERR_DEVICE_GONE, "device gone",
     "The device no longer answers, its registers read as nothing: it was unplugged or is being reset, or "
     "its memory decoding was switched off. Open it again; if that fails, look on the host whether the VM "
     "still has it."},
};

constexpr CodeText kCuda = {0xf0, "CUDA specific error",
                            "No mediator of this release sends this code, which is reserved for failures of "
                            "the GPU: see the mediator's log on the host."};
constexpr CodeText kUnknown = {
    0, "unknown code", "The mediator answered with a code that this program does not know: update it."};

// Why a mediator does not take a VM: the causes behind the code.
const char* RefusalCause(uint32_t code) {
  switch (code) {
    case VGPU_ERR_INVALID_REQUEST:
      return "its vm_id is in use or not configured there, or its memory is not as it should be";
    case VGPU_ERR_TOO_LARGE: return "its region is too large, or its own memory limit too small";
    case VGPU_ERR_INVALID_POOL: return "there is no such pool";
    case VGPU_ERR_QUEUE_FULL: return "it has as many VMs as it takes";
    case VGPU_ERR_UNSUPPORTED: return "it and QEMU's device are of different releases";
    case VGPU_ERR_QUARANTINED: return "the operator has quarantined this VM";
    default: return CodeName(code);
  }
}

// What helps where the system lacks something, whatever it was wanted for.
const char* Remedy(int error) {
  switch (error) {
    case EMFILE: return ": this process has too many open files: raise its limit (`ulimit -n`)";
    case ENFILE: return ": this machine has too many open files: raise fs.file-max";
    case ENOMEM: return ": there is not enough memory: free some, or raise this process's limits";
    case ETOOMANYREFS:
      return ": too many descriptors are on their way to other processes: raise the limit on open files "
             "(`ulimit -n`)";
    default: return "";
  }
}

const CodeText& Find(uint32_t code) {
  for (const CodeText& entry : kCodes) {
    if (entry.code == code) return entry;
  }
  return code >= 0xf0 && code <= 0xff ? kCuda : kUnknown;
}

}  // namespace

tl::unexpected<Error> FailErrno(uint32_t code, const std::string& what) {
  return Fail(code, fmt::format("{}: {}{}", what, std::strerror(errno), Remedy(errno)));
}

uint32_t CodeOf(const base::ConnectError& failure) {
  switch (failure.error) {
    case ENAMETOOLONG:
    case ENOTDIR:
    case ELOOP:
    case EPROTOTYPE:
    case ENOTSOCK: return VGPU_ERR_BAD_ARGUMENT;
    case EACCES:
    case EPERM: return VGPU_ERR_NO_PERMISSION;
    default: return VGPU_ERR_UNAVAILABLE;
  }
}

uint32_t CodeOf(const base::ChannelError& failure) {
  switch (failure.fault) {
    case base::ChannelFault::kForeign:
    case base::ChannelFault::kVersion:
    case base::ChannelFault::kTooLong: return VGPU_ERR_VERSION;
    case base::ChannelFault::kTooManyFds:
    case base::ChannelFault::kNoFdsLeft:
    case base::ChannelFault::kCutOff: break;
  }
  return VGPU_ERR_UNAVAILABLE;
}

const char* CodeName(uint32_t code) { return Find(code).name; }

const char* ExplainCode(uint32_t code) { return Find(code).explanation; }

Error Refused(uint32_t code) {
  if (code == VGPU_OK) {
    return {VGPU_ERR_VERSION,
            "the request failed, but with code 0, which means success: install a mediator, a QEMU and a "
            "program of one release"};
  }
  return {code,
          fmt::format("request refused with code {} ({}). {}", code, CodeName(code), ExplainCode(code))};
}

Error DeviceGone() { return {VGPU_ERR_DEVICE_GONE, ExplainCode(VGPU_ERR_DEVICE_GONE)}; }

Error Unattached(uint32_t refusal, std::string otherwise) {
  if (refusal == VGPU_OK) return {VGPU_ERR_UNAVAILABLE, std::move(otherwise)};
  return {VGPU_ERR_UNAVAILABLE,
          fmt::format(
              "the host's mediator refuses this VM (code {}: {}); the reason is in the mediator's log and in "
              "QEMU's output: ask the host's operator",
              refusal, RefusalCause(refusal))};
}

}  // namespace vgpu::guest
