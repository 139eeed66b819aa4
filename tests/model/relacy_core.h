// SPDX-License-Identifier: Apache-2.0
// relacy's parts without relacy.hpp, which makes macros of `new`, `free`, `assert`,
// pthread_create and many more.
#ifndef VGPU_TESTS_MODEL_RELACY_CORE_H_
#define VGPU_TESTS_MODEL_RELACY_CORE_H_

#define RL_DO_ASSERT 1  // relacy checks itself: a scenario that is not deterministic stops the test

// They rely on this order.
// clang-format off
#include <relacy/base.hpp>
#include <relacy/context.hpp>
#include <relacy/context_base_impl.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/atomic.hpp>
#include <relacy/var.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/dyn_thread.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/stdlib/event.hpp>
// clang-format on
#undef $

#endif  // VGPU_TESTS_MODEL_RELACY_CORE_H_
