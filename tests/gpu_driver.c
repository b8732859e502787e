/* The entry points of NVIDIA's management library (NVML) that are used, over numbers that a test sets.
   Needs no header and no library of C. */

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

struct process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};

struct gpu {
  unsigned unsupported, running;
  unsigned long long total;
  struct process processes[4];
};

struct memory {
  unsigned long long total, free, used;
};

struct gpu gpus[2];
int opened;

int nvmlInitWithFlags(unsigned flags) {
  opened++;
  return SUCCESS;
}

int nvmlShutdown(void) {
  opened--;
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **handle) {
  if (index >= 2) return INVALID_ARGUMENT;
  *handle = &gpus[index];
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory) {
  memory->total = gpu->total;
  return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *count, struct process *into) {
  unsigned room = *count;
  if (gpu->unsupported) return NOT_SUPPORTED;
  *count = gpu->running;
  if (room < gpu->running) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < gpu->running; i++) into[i] = gpu->processes[i];
  return SUCCESS;
}
