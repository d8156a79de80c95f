/*
 * A HIP runtime and its compiler without a GPU: memory is the host's, copies are copies, and kernels do nothing, or by
 * STAND_IN_DRIVER "hang" from the first step on, or "fault" there, which ends the program as ROCm does.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOT_READY = 600, PROPERTIES_BYTES = 1472, ARCHITECTURE_AT = 400 };
static const size_t MEMORY_BYTES = (size_t)8 << 30;
static volatile int busy;

static int is(const char *behavior) {
  const char *asked = getenv("STAND_IN_DRIVER");
  return asked != NULL && strcmp(asked, behavior) == 0;
}

static int give(void **out) {
  *out = malloc(1);
  return 0;
}

int hipInit(unsigned flags) { return 0; }
int hipGetDeviceCount(int *count) { return *count = 1, 0; }
int hipSetDevice(int device) { return 0; }
int hipRuntimeGetVersion(int *version) { return *version = 60342134, 0; }
int hipDeviceTotalMem(size_t *bytes, int device) { return *bytes = MEMORY_BYTES, 0; }
int hipGetDevicePropertiesR0600(char *properties, int device) {
  memset(properties, 0, PROPERTIES_BYTES);
  strcpy(properties, "Stand-in GPU");
  strcpy(properties + ARCHITECTURE_AT, "gfx90a:sramecc+:xnack-");
  return 0;
}
int hipDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 87 ? 64 : attribute == 63 ? 104 : attribute == 74 ? 65536 : 0;
  return 0;
}
int hipMemGetInfo(size_t *free, size_t *total) { return *free = *total = MEMORY_BYTES, 0; }

int hipMalloc(void **out, size_t bytes) { return *out = aligned_alloc(256, (bytes + 255) / 256 * 256), 0; }
int hipFree(void *memory) { return free(memory), 0; }
int hipHostMalloc(void **out, size_t bytes, unsigned flags) { return hipMalloc(out, bytes); }
int hipHostFree(void *memory) { return free(memory), 0; }
int hipHostRegister(void *memory, size_t bytes, unsigned flags) { return 0; }
int hipHostUnregister(void *memory) { return 0; }
int hipHostGetDevicePointer(void **out, void *memory, unsigned flags) { return *out = memory, 0; }
int hipMemcpyHtoDAsync(void *to, void *from, size_t bytes, void *stream) { return memcpy(to, from, bytes), 0; }
int hipMemcpyDtoHAsync(void *to, void *from, size_t bytes, void *stream) { return memcpy(to, from, bytes), 0; }
int hipMemcpyDtoDAsync(void *to, void *from, size_t bytes, void *stream) { return memcpy(to, from, bytes), 0; }
int hipMemsetD8Async(void *to, uint8_t value, size_t bytes, void *stream) { return memset(to, value, bytes), 0; }

int hipStreamCreateWithFlags(void **out, unsigned flags) { return give(out); }
int hipStreamQuery(void *stream) { return busy ? NOT_READY : 0; }
int hipStreamWaitEvent(void *stream, void *event, unsigned flags) { return 0; }
int hipStreamDestroy(void *stream) { return free(stream), 0; }
int hipEventCreateWithFlags(void **out, unsigned flags) { return give(out); }
int hipEventRecord(void *event, void *stream) { return 0; }
int hipEventQuery(void *event) { return busy ? NOT_READY : 0; }
int hipEventSynchronize(void *event) {
  while (busy) sleep(1);
  return 0;
}
int hipEventElapsedTime(float *milliseconds, void *start, void *end) { return *milliseconds = 1, 0; }
int hipEventDestroy(void *event) { return free(event), 0; }

int hipModuleLoadData(void **out, void *image) { return give(out); }
int hipModuleUnload(void *module) { return free(module), 0; }
int hipModuleGetFunction(void **out, void *module, const char *name) { return *out = strdup(name), 0; }
int hipFuncGetAttribute(int *value, int attribute, void *function) { return *value = 0, 0; }
int hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) {
  return *blocks = 1, 0;
}
int hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void *parameters, void *extra) {
  /* The first of every step. */
  if (strcmp(function, "embed") != 0) return 0;
  if (is("hang")) busy = 1;
  if (is("fault")) {
    fputs("Memory access fault by GPU node-1 on address 0x7f0000000000\n", stderr);
    abort();
  }
  return 0;
}
int hipStreamBeginCapture(void *stream, int mode) { return 0; }
int hipStreamEndCapture(void *stream, void **out) { return give(out); }
int hipGraphInstantiateWithFlags(void **out, void *graph, uint64_t flags) { return give(out); }
int hipGraphLaunch(void *graph, void *stream) { return 0; }
int hipGraphDestroy(void *graph) { return free(graph), 0; }
int hipGraphExecDestroy(void *graph) { return free(graph), 0; }

int hiprtcVersion(int *major, int *minor) { return *major = 6, *minor = 3, 0; }
int hiprtcCreateProgram(void **out, const char *source, const char *name, int headers, void *texts, void *names) {
  return give(out);
}
int hiprtcCompileProgram(void *program, int options, void *list) { return 0; }
int hiprtcGetProgramLogSize(void *program, size_t *bytes) { return *bytes = 1, 0; }
int hiprtcGetProgramLog(void *program, char *log) { return *log = 0; }
int hiprtcGetCodeSize(void *program, size_t *bytes) { return *bytes = 16, 0; }
int hiprtcGetCode(void *program, char *code) { return memset(code, 0, 16), 0; }
int hiprtcDestroyProgram(void **program) { return free(*program), 0; }
