// SPDX-License-Identifier: Apache-2.0
// A length of time as people read it.
#ifndef VGPU_BASE_DURATION_H_
#define VGPU_BASE_DURATION_H_

#include <fmt/format.h>

#include <chrono>
#include <string>

namespace vgpu::base {

// Three digits and the unit that fits: "287 ns", "5.53 s", "1000 s"; never an exponent.
inline std::string DurationText(double ns) {
  struct Unit {
    double ns;
    const char* name;
  };
  static constexpr Unit kUnits[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
  for (const Unit& unit : kUnits) {
    const double value = ns / unit.ns;
    // What three digits would round up to 1000 is one of the next unit.
    if (value < 0.9995 && unit.ns > 1) continue;
    if (value < 9.995 && unit.ns > 1) return fmt::format("{:.2f} {}", value, unit.name);
    if (value < 99.95 && unit.ns > 1) return fmt::format("{:.1f} {}", value, unit.name);
    return fmt::format("{:.0f} {}", value, unit.name);
  }
  return {};
}

template <class Rep, class Period>
std::string DurationText(std::chrono::duration<Rep, Period> duration) {
  return DurationText(std::chrono::duration<double, std::nano>(duration).count());
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_DURATION_H_
