/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of numbers and of vectors: opcodes and their arguments (docs/spec/operations.md). C11 and C++20. */
#ifndef VGPU_API_VECTOR_H_
#define VGPU_API_VECTOR_H_

#define VGPU_OP_NOP 0u
#define VGPU_OP_ADD 1u         /* arg[0] = i32 a (low half), i32 b (high half); done.data = a + b, wrapping */
#define VGPU_OP_VECTOR_ADD 16u /* type; arg[0] = count; arg[1..3] = arena offsets of a, b, c */

/* Of the elements of a vector: the type of VGPU_OP_VECTOR_ADD. */
#define VGPU_TYPE_I32 0u
#define VGPU_TYPE_I64 1u
#define VGPU_TYPE_F32 2u
#define VGPU_TYPE_F64 3u

#endif /* VGPU_API_VECTOR_H_ */
