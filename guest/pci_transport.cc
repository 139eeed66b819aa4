// SPDX-License-Identifier: Apache-2.0
#include "guest/pci_transport.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "guest/waiting.h"
#include "ring/memory.h"
#include "ring/region.h"

namespace vgpu::guest {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kConfigCommand = 4;  // offset of the command register in PCI configuration space
constexpr uint16_t kCommandMemory = 1u << 1;
constexpr uint32_t kWindowByte = VGPU_RINGS_MAX;  // the window's lock, after those of the rings

std::optional<uint32_t> ReadNumber(const fs::path& file) {
  std::ifstream stream(file);
  std::string text;
  if (!(stream >> text)) return std::nullopt;
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 0);
  if (end == text.c_str() || *end != '\0') return std::nullopt;
  return static_cast<uint32_t>(value);
}

// Without this folder nobody can say which devices there are.
Error NoSysfs(const fs::path& devices, const std::error_code& error) {
  if (error == std::errc::permission_denied) {
    return {VGPU_ERR_NO_PERMISSION,
            fmt::format("no permission to look into {}: run as root", devices.string())};
  }
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
    return {VGPU_ERR_NO_DEVICE,
            fmt::format("there are no PCI devices in {}, because sysfs is not mounted (`mount -t sysfs sysfs "
                        "/sys`) or the machine has no PCI; on the mediator's host use --socket",
                        devices.string())};
  }
  errno = error.value();
  return FailErrno(VGPU_ERR_SYSTEM, "cannot look for PCI devices in " + devices.string()).value();
}

// The PCI address of the device to use.
Result<std::string> FindDevice(const PciOptions& options) {
  const fs::path devices = fs::path(options.sysfs) / "bus/pci/devices";
  std::error_code error;
  const char* from_environment = std::getenv("VGPU_DEVICE");
  std::string wanted = options.device;
  if (wanted.empty() && from_environment != nullptr) wanted = from_environment;
  if (!wanted.empty()) {
    if (wanted.find('/') == std::string::npos && fs::exists(devices / wanted, error)) return wanted;
    if (error && error != std::errc::no_such_file_or_directory)
      return tl::make_unexpected(NoSysfs(devices, error));
    return Fail(VGPU_ERR_NO_DEVICE,
                fmt::format("there is no PCI device '{}': `ls {}` shows those there are (an "
                            "address looks like 0000:00:04.0)",
                            wanted, devices.string()));
  }
  std::vector<std::string> found;
  for (fs::directory_iterator entry(devices, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (ReadNumber(entry->path() / "vendor") == VGPU_PCI_VENDOR_ID &&
        ReadNumber(entry->path() / "device") == VGPU_PCI_DEVICE_ID) {
      found.push_back(entry->path().filename());
    }
  }
  if (error) return tl::make_unexpected(NoSysfs(devices, error));
  if (!found.empty()) return *std::min_element(found.begin(), found.end());
  return Fail(
      VGPU_ERR_NO_DEVICE,
      fmt::format("no vgpu-stub device ({:04x}:{:04x}) in {}: add `-device vgpu-stub,...` to this VM; if its "
                  "ids were changed, name it with --device; on the mediator's host use --socket",
                  VGPU_PCI_VENDOR_ID, VGPU_PCI_DEVICE_ID, devices.string()));
}

// Why the kernel did not let us `what`, by errno: each cause has a remedy of its own.
Error OpenError(const std::string& what) {
  const auto error = [&what](uint32_t code, const char* remedy) {
    return Error(code, fmt::format("cannot {}: {}: {}", what, std::strerror(errno), remedy));
  };
  switch (errno) {
    case EACCES: return {VGPU_ERR_NO_PERMISSION, fmt::format("no permission to {}: run as root", what)};
    case EPERM:
      return {VGPU_ERR_NO_PERMISSION,
              fmt::format("the kernel does not allow to {}: run as root; if you are root, the "
                          "kernel is locked down (Secure Boot): turn that off for this VM",
                          what)};
    case EROFS:
      return error(VGPU_ERR_NO_PERMISSION,
                   "sysfs is mounted read-only, as containers have it: run outside of the "
                   "container, or mount /sys there for writing");
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return error(VGPU_ERR_DEVICE_GONE,
                   "the device was unplugged, or is no vgpu-stub: `lspci -d 1af4:1111` shows those");
    case EBUSY:
    case EINVAL:
      return error(VGPU_ERR_SYSTEM,
                   "a kernel driver seems to hold the device: unbind it (its `driver/unbind` in sysfs)");
    default: return FailErrno(VGPU_ERR_SYSTEM, "cannot " + what).value();
  }
}

// Reads or writes of two bytes of configuration space end whole or with a reason.
Error ConfigError(ssize_t bytes, const std::string& what) {
  if (bytes >= 0) errno = EIO;
  return OpenError(what);
}

// Sets the memory decoding bit of the device's command register; without it every load reads all ones.
Result<void> EnableMemory(const fs::path& folder) {
  const std::string file = folder / "config";
  const base::UniqueFd config(open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!config) return tl::make_unexpected(OpenError("open " + file));
  uint16_t command = 0;
  const ssize_t got = pread(config.get(), &command, sizeof(command), kConfigCommand);
  if (got != sizeof(command)) {
    return tl::make_unexpected(ConfigError(got, "read " + file));
  }
  if ((command & kCommandMemory) != 0) return {};
  command |= kCommandMemory;
  const ssize_t put = pwrite(config.get(), &command, sizeof(command), kConfigCommand);
  if (put != sizeof(command)) {
    return tl::make_unexpected(ConfigError(put, "write " + file));
  }
  return {};
}

// Firmware and kernel leave a device without a driver disabled. The kernel enables none (EINVAL) of which one
// BAR has no address; the others work all the same.
Result<void> Enable(const fs::path& folder) {
  const std::string file = folder / "enable";
  if (ReadNumber(file) == 0u) {
    const base::UniqueFd enable(open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!enable || (write(enable.get(), "1", 1) != 1 && errno != EINVAL))
      return tl::make_unexpected(OpenError("enable the device by " + file));
  }
  return EnableMemory(folder);
}

// Does BAR `number` have a place? Line n of `resource` is "START END FLAGS", all zero where the BAR has none.
bool HasAddress(const fs::path& folder, uint32_t number) {
  std::ifstream lines(folder / "resource");
  std::string line;
  for (uint32_t i = 0; i <= number; ++i) {
    if (!std::getline(lines, line)) return true;  // not known: what follows will tell
  }
  return std::strtoull(line.c_str(), nullptr, 0) != 0;
}

Error NoAddress(uint32_t number) {
  if (number != VGPU_BAR_REGION) {
    return {VGPU_ERR_SYSTEM,
            fmt::format("BAR{} of the device has no address, because firmware and kernel found no room "
                        "for it below 4 GiB: take other PCI devices out of this VM",
                        number)};
  }
  return {VGPU_ERR_SYSTEM,
          "BAR2, the memory of the rings, has no address, because the VM's 64-bit PCI window has no room for "
          "it: make the window larger (OVMF: -fw_cfg name=opt/ovmf/X-PciMmio64Mb,string=65536; behind a root "
          "port: pref64-reserve=SIZE; a -cpu with more phys-bits) or the device's size smaller. The register "
          "window works without: `vgpu-client regs --add A B`"};
}

struct Bar {
  base::UniqueFd fd;
  base::Mapping map;
};

Result<Bar> MapBar(const fs::path& folder, uint32_t number, uint64_t bytes_min) {
  const std::string file = folder / fmt::format("resource{}", number);
  if (!HasAddress(folder, number)) return tl::make_unexpected(NoAddress(number));
  Bar bar;
  bar.fd = base::UniqueFd(open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!bar.fd) return tl::make_unexpected(OpenError("open " + file));
  struct stat info;
  if (fstat(bar.fd.get(), &info) != 0) return tl::make_unexpected(OpenError("look at " + file));
  const auto bytes = static_cast<uint64_t>(info.st_size);
  if (bytes < bytes_min) {
    return Fail(VGPU_ERR_VERSION,
                fmt::format("{} has {} bytes, a vgpu-stub has at least {}: is this the right device?", file,
                            bytes, bytes_min));
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bar.fd.get(), 0);
  if (data == MAP_FAILED) return tl::make_unexpected(OpenError("map " + file));
  bar.map = base::Mapping(data, bytes);
  return bar;
}

// Each load's address depends on the value before it, so that they cannot overlap.
double LoadNs(const void* memory) {
  constexpr int kRounds = 5;
  constexpr int kLoads = 256;
  const auto* first = static_cast<const uint64_t*>(memory);
  uint64_t none = 0;
  asm volatile("" : "+r"(none));  // the compiler no longer knows that it is 0
  auto best = std::chrono::nanoseconds::max();
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t* word = first;
    const TimePoint begin = Clock::now();
    for (int i = 0; i < kLoads; ++i) word = first + (ring::RealMemory::LoadRelaxed(word) & none);
    asm volatile("" : : "r"(word));
    best = std::min(best, std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin));
  }
  return static_cast<double>(best.count()) / kLoads;
}

std::string UncachedWarning(const LoadTimes& times) {
  if (!LooksUncached(times)) return "";
  return fmt::format(
      "the ring is mapped uncached: a load takes {:.0f} ns, from ordinary memory {:.1f} ns. Everything "
      "works, but each request is slower by many such loads. This host's CPU honours sysfs's uncached "
      "mapping (AMD does, Intel under KVM does not): use a host that does not, or keep vectors large",
      times.region_ns, times.ordinary_ns);
}

}  // namespace

bool LooksUncached(const LoadTimes& times) {
  return times.region_ns > 30 && times.region_ns > 4 * times.ordinary_ns;
}

PciTransport::PciTransport(std::string address, base::UniqueFd bar0_fd, base::Mapping bar0)
    : address_(std::move(address)),
      bar0_fd_(std::move(bar0_fd)),
      bar0_(std::move(bar0)),
      registers_(bar0_.data()) {}

Result<std::unique_ptr<PciTransport>> PciTransport::Open(const PciOptions& options) {
  auto address = FindDevice(options);
  if (!address) return tl::make_unexpected(address.error());
  const fs::path folder = fs::path(options.sysfs) / "bus/pci/devices" / *address;
  if (auto enabled = Enable(folder); !enabled) return tl::make_unexpected(enabled.error());
  auto bar0 = MapBar(folder, VGPU_BAR_REGS, VGPU_BAR0_BYTES);
  if (!bar0) return tl::make_unexpected(bar0.error());
  std::unique_ptr<PciTransport> transport(
      new PciTransport(*address, std::move(bar0->fd), std::move(bar0->map)));
  const uint32_t version = transport->registers_.Read(VGPU_REG_PROTOCOL_VER);
  if (transport->registers_.Gone()) return tl::make_unexpected(DeviceGone());
  if (version >> 16 != VGPU_WINDOW_VERSION >> 16) {
    return Fail(
        VGPU_ERR_VERSION,
        fmt::format("device {} has protocol version {:#010x}, this program knows {:#010x}: it is not a "
                    "vgpu-stub, or one of another version",
                    *address, version, VGPU_WINDOW_VERSION));
  }
  if ((transport->registers_.Read(VGPU_REG_RING_CAPS) & VGPU_RING_CAPS_RING) != 0) {
    // The register window is served whatever is wrong with BAR2.
    if (auto mapped = transport->MapRegion(folder); !mapped) transport->region_error_ = mapped.error();
  }
  return transport;
}

Result<void> PciTransport::MapRegion(const std::string& folder) {
  auto bar = MapBar(folder, VGPU_BAR_REGION, VGPU_REGION_BYTES_MIN);
  if (!bar) return tl::make_unexpected(bar.error());
  auto layout = ring::ReadLayout(bar->map);
  if (!layout) return Fail(VGPU_ERR_VERSION, layout.error());
  alignas(VGPU_LINE_BYTES) static const uint64_t ordinary = 0;
  warning_ = UncachedWarning({LoadNs(bar->map.data()), LoadNs(&ordinary)});
  bar2_ = std::move(bar->map);
  region_ = bar2_.data();
  layout_ = *layout;
  return {};
}

Result<void> PciTransport::Lock(uint32_t byte, const std::string& what) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  if (fcntl(bar0_fd_.get(), F_OFD_SETLK, &lock) == 0) return {};
  if (errno == EAGAIN || errno == EACCES) return Fail(VGPU_ERR_RING_BUSY, what);
  return FailErrno(VGPU_ERR_SYSTEM, "cannot lock the device");
}

Result<void> PciTransport::ClaimRing(uint32_t ring) {
  return Lock(ring, fmt::format("ring {} is in use by another process; use another one with --ring", ring));
}

Result<void> PciTransport::ClaimWindow() {
  return Lock(kWindowByte, "the register window is in use by another process: wait until it ends");
}

void PciTransport::ReleaseRing(uint32_t ring) {
  struct flock lock = {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = ring;
  lock.l_len = 1;
  fcntl(bar0_fd_.get(), F_OFD_SETLK, &lock);
}

void PciTransport::Kick(uint32_t ring) { registers_.Write(VGPU_DOORBELL_OFF(ring), 1); }

Wake PciTransport::SleepUntilCall(uint32_t, TimePoint) {
  assert(!"there are no calls without a driver");
  return Wake::kCheck;
}

// From the region where there is one: a load of memory, where the register costs an exit from the VM.
uint32_t PciTransport::ring_state() {
  if (region_ == nullptr) return registers_.Read(VGPU_REG_RING_STATE);
  const auto* header = reinterpret_cast<const vgpu_region_header*>(region_);
  return vgpu_word_data(ring::RealMemory::LoadAcquire(&header->link_state));
}

// Memory whose decoding is off may read as zeros, which is "no mediator" in the region.
Error PciTransport::WhyUnattached(std::string otherwise) {
  if (gone()) return DeviceGone();
  return Unattached(registers_.Read(VGPU_REG_REFUSAL), std::move(otherwise));
}

Result<void> PciTransport::AwaitLink(TimePoint deadline) {
  const TimePoint begin = Clock::now();
  const PolledWait polled_wait(begin);
  while (ring_state() == VGPU_RING_STATE_NO_MEDIATOR) {
    if (Clock::now() >= deadline) {
      return tl::make_unexpected(WhyUnattached(
          fmt::format("no mediator is attached to this VM (waited {:.1f} s): start it on the host, with the "
                      "socket that the VM's `chardev` names",
                      std::chrono::duration<double>(Clock::now() - begin).count())));
    }
    polled_wait.Step(deadline);
  }
  return {};
}

Identity PciTransport::identity() const {
  return {registers_.Read(VGPU_REG_VM_ID), registers_.Read(VGPU_REG_POOL_ID),
          registers_.Read(VGPU_REG_PRIORITY)};
}

}  // namespace vgpu::guest
