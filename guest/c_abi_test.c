/* SPDX-License-Identifier: Apache-2.0 */
/* A C11 program that uses the C ABI. With a socket as its argument it works against a mediator; without, it
 * tries what must fail. Exit code 0 if all is as it should be. */
#include <stdio.h>
#include <string.h>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "guest/vgpu.h"

static int failures;

#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                             \
    }                                                                         \
  } while (0)

static void CheckFailures(void) {
  struct vgpu_options options = VGPU_OPTIONS_INIT;
  struct vgpu_handle* vgpu = (struct vgpu_handle*)&options;
  char why[256] = "";
  char tiny[4] = "xxx";

  options.socket = "/nonexistent/socket";
  EXPECT(vgpu_open(&options, &vgpu, why, sizeof(why)) == (int)VGPU_ERR_UNAVAILABLE);
  EXPECT(vgpu == NULL);
  EXPECT(strstr(why, "/nonexistent/socket") != NULL);
  EXPECT(vgpu_open(&options, &vgpu, tiny, sizeof(tiny)) == (int)VGPU_ERR_UNAVAILABLE);
  EXPECT(strlen(tiny) == sizeof(tiny) - 1);
  EXPECT(vgpu_open(&options, &vgpu, NULL, 0) == (int)VGPU_ERR_UNAVAILABLE);

  options.socket = NULL;
  options.device = "ffff:ff:1f.7";
  EXPECT(vgpu_open(&options, &vgpu, why, sizeof(why)) == (int)VGPU_ERR_NO_DEVICE);
  vgpu_close(NULL);

  EXPECT(strlen(vgpu_strerror(VGPU_PENDING)) > 0);
  EXPECT(strcmp(vgpu_strerror((int)VGPU_ERR_FENCED), vgpu_strerror((int)VGPU_ERR_RESET)) != 0);
  EXPECT(strlen(vgpu_strerror(12345)) > 0);
}

static void CheckRequests(struct vgpu_handle* vgpu) {
  struct vgpu_device_info info;
  uint64_t operands = 1ull | 2ull << 32; /* a = 1, b = 2 */
  uint64_t too_many[VGPU_SLOT_ARGS + 1] = {0};
  uint32_t idx[64];
  uint32_t data = 0;
  int32_t sum = 0;
  int code;

  EXPECT(vgpu_add(vgpu, 100, 200, &sum) == VGPU_OK && sum == 300);
  EXPECT(vgpu_add(vgpu, 2147483647, 1, &sum) == VGPU_OK && sum == -2147483647 - 1);
  EXPECT(vgpu_info(vgpu, &info) == VGPU_OK && info.abi_version == VGPU_ABI_VERSION);

  for (int i = 0; i < 64; ++i) EXPECT(vgpu_submit(vgpu, VGPU_OP_ADD, 0, &operands, 1, &idx[i]) == VGPU_OK);
  vgpu_flush(vgpu);
  for (int i = 0; i < 64; ++i) {
    data = 0;
    EXPECT(vgpu_wait(vgpu, idx[i], 20000000000u, &data) == VGPU_OK && data == 3);
  }
  EXPECT(vgpu_submit(vgpu, VGPU_OP_NOP, 0, NULL, 0, &idx[0]) == VGPU_OK);
  vgpu_flush(vgpu);
  do {
    code = vgpu_poll(vgpu, idx[0], NULL);
  } while (code == VGPU_PENDING);
  EXPECT(code == VGPU_OK);

  EXPECT(vgpu_submit(vgpu, 0x7777, 0, NULL, 0, &idx[0]) == VGPU_OK);
  EXPECT(vgpu_wait(vgpu, idx[0], UINT64_MAX, NULL) == (int)VGPU_ERR_UNSUPPORTED);
  EXPECT(strstr(vgpu_last_error(vgpu), "unsupported") != NULL);
  EXPECT(vgpu_submit(vgpu, 0, 0, too_many, VGPU_SLOT_ARGS + 1, &idx[0]) == (int)VGPU_ERR_BAD_ARGUMENT);
  EXPECT(vgpu_wait(vgpu, 123456, 0, NULL) == (int)VGPU_ERR_BAD_ARGUMENT);

  code = VGPU_OK;
  for (int i = 0; i < (int)VGPU_ENTRIES_MAX + 1 && code == VGPU_OK; ++i) {
    code = vgpu_submit(vgpu, VGPU_OP_NOP, 0, NULL, 0, &idx[0]);
  }
  EXPECT(code == (int)VGPU_ERR_QUEUE_FULL);
  EXPECT(vgpu_add(vgpu, 1, 2, &sum) == (int)VGPU_ERR_QUEUE_FULL);
}

static void CheckVectors(struct vgpu_handle* vgpu) {
  enum { kCount = 1000 };
  int32_t* v[3];
  uint64_t off[3];
  void* data = NULL;
  uint64_t offset = 0;

  for (int i = 0; i < 3; ++i) {
    EXPECT(vgpu_alloc(vgpu, kCount * sizeof(int32_t), &data, &off[i]) == VGPU_OK);
    v[i] = (int32_t*)data;
  }
  for (int i = 0; i < kCount; ++i) {
    v[0][i] = i;
    v[1][i] = -3 * i;
    v[2][i] = 7;
  }
  EXPECT(vgpu_vector_add(vgpu, VGPU_TYPE_I32, kCount, off[0], off[1], off[2]) == VGPU_OK);
  for (int i = 0; i < kCount; ++i) EXPECT(v[2][i] == -2 * i);
  EXPECT(vgpu_vector_add(vgpu, VGPU_TYPE_I32, kCount, off[0], off[1], 1) != VGPU_OK); /* misaligned */

  EXPECT(vgpu_alloc(vgpu, UINT64_MAX, &data, &offset) == (int)VGPU_ERR_NO_ARENA);
  EXPECT(vgpu_free(vgpu, off[1]) == VGPU_OK);
  EXPECT(vgpu_free(vgpu, off[1]) == (int)VGPU_ERR_BAD_ARGUMENT);
}

int main(int argc, char** argv) {
  struct vgpu_options options = VGPU_OPTIONS_INIT;
  struct vgpu_handle* vgpu = NULL;
  char why[256] = "";

  CheckFailures();
  if (argc > 1) {
    options.socket = argv[1];
    options.timeout_ms = 20000;
    if (vgpu_open(&options, &vgpu, why, sizeof(why)) != VGPU_OK) {
      fprintf(stderr, "%s\n", why);
      return 1;
    }
    EXPECT(strcmp(vgpu_last_error(vgpu), "") == 0);
    CheckVectors(vgpu);
    CheckRequests(vgpu);
    vgpu_close(vgpu);
  }
  if (failures == 0) printf("all as it should be\n");
  return failures != 0;
}
