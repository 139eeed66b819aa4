// SPDX-License-Identifier: Apache-2.0
// The device in a VM, through sysfs: no driver, so no calls; answers are polled. Needs root.
#ifndef VGPU_GUEST_PCI_TRANSPORT_H_
#define VGPU_GUEST_PCI_TRANSPORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "guest/transport.h"

namespace vgpu::guest {

struct PciOptions {
  std::string device;          // "0000:00:04.0"; empty: VGPU_DEVICE, else the first vgpu-stub
  std::string sysfs = "/sys";  // tests have one of their own
};

// What a dependent 8-byte load takes; the other one is the same measurement on ordinary memory.
struct LoadTimes {
  double region_ns = 0;
  double ordinary_ns = 0;
};

// A region load this slow, and this much slower than ordinary memory, is an uncached mapping. (An emulator
// makes both slow; that is no defect of the mapping.)
bool LooksUncached(const LoadTimes& times);

class PciTransport final : public Transport {
 public:
  // Finds the device, enables it where the firmware has not, and maps it.
  static Result<std::unique_ptr<PciTransport>> Open(const PciOptions& options);

  // One process owns a ring: a lock on a byte of BAR0's file, gone with the process.
  Result<void> ClaimRing(uint32_t ring) override;
  void ReleaseRing(uint32_t ring) override;
  // The same for the register window.
  Result<void> ClaimWindow();

  void Kick(uint32_t ring) override;
  bool can_sleep() const override { return false; }
  Wake SleepUntilCall(uint32_t ring, TimePoint deadline) override;
  uint32_t ring_state() override;
  bool gone() const override { return registers_.Gone(); }
  Error WhyUnattached(std::string otherwise) override;
  Result<void> AwaitLink(TimePoint deadline) override;
  const Registers* registers() const override { return &registers_; }
  Identity identity() const override;
  std::string description() const override { return "PCI device " + address_; }
  std::string warning() const override { return warning_; }

 private:
  PciTransport(std::string address, base::UniqueFd bar0_fd, base::Mapping bar0);

  Result<void> MapRegion(const std::string& folder);
  Result<void> Lock(uint32_t byte, const std::string& what);

  const std::string address_;
  const base::UniqueFd bar0_fd_;  // locks last as long as it is open
  const base::Mapping bar0_;
  const Registers registers_;
  base::Mapping bar2_;
  std::string warning_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_PCI_TRANSPORT_H_
