// SPDX-License-Identifier: Apache-2.0
// Named faults of the daemon, each of which a simulation must find. They are there where crash points are
// (VGPU_CRASH_POINTS), and one at most is on; everywhere else VGPU_MUTANT is the constant false.
#ifndef VGPU_BASE_MUTANT_H_
#define VGPU_BASE_MUTANT_H_

namespace vgpu::base {

#ifdef VGPU_CRASH_POINTS
// The only one that is on; the name must last. Null: none. False: there are none in this build.
bool SetMutant(const char* name);
bool IsMutant(const char* name);
#else
inline bool SetMutant(const char*) { return false; }
#endif

}  // namespace vgpu::base

#ifdef VGPU_CRASH_POINTS
#define VGPU_MUTANT(name) ::vgpu::base::IsMutant(name)
#else
#define VGPU_MUTANT(name) false
#endif

#endif  // VGPU_BASE_MUTANT_H_
