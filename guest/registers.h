// SPDX-License-Identifier: Apache-2.0
// BAR0 as a program sees it: 32-bit accesses, and nothing else.
#ifndef VGPU_GUEST_REGISTERS_H_
#define VGPU_GUEST_REGISTERS_H_

#include <cstdint>

#include "ring/regs.h"

namespace vgpu::guest {

class Registers {
 public:
  // `base` is a mapping of VGPU_BAR0_BYTES bytes that outlives this.
  explicit Registers(void* base) : base_(static_cast<volatile char*>(base)) {}

  // `off` is VGPU_REG_*, a multiple of 4 below VGPU_BAR0_BYTES.
  uint32_t Read(uint32_t off) const { return *At(off); }
  // Nobody answers: hardware reads as all ones then, an emulator perhaps as zeros,
  // and this register is neither.
  bool Gone() const {
    const uint32_t version = Read(VGPU_REG_PROTOCOL_VER);
    return version == 0 || version == UINT32_MAX;
  }
  void Write(uint32_t off, uint32_t value) const { *At(off) = value; }

 private:
  volatile uint32_t* At(uint32_t off) const { return reinterpret_cast<volatile uint32_t*>(base_ + off); }

  volatile char* base_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_REGISTERS_H_
