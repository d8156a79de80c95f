/**
 * A kernel whose every thread writes where it is, after a trip through the last word of its block's shared memory. To
 * follow platform.hip.
 */
export const THREE_AXES_SOURCE = `
namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE u32 block_y() { return blockIdx.y; }
ROUTER_INLINE u32 block_z() { return blockIdx.z; }
ROUTER_INLINE u32 blocks_x() { return gridDim.x; }
ROUTER_INLINE u32 blocks_y() { return gridDim.y; }
#else
ROUTER_INLINE u32 block_y() { return __builtin_amdgcn_workgroup_id_y(); }
ROUTER_INLINE u32 block_z() { return __builtin_amdgcn_workgroup_id_z(); }
ROUTER_INLINE u32 blocks_x() { return __builtin_amdgcn_grid_size_x() / THREADS; }
ROUTER_INLINE u32 blocks_y() { return __builtin_amdgcn_grid_size_y(); }
#endif

extern __shared__ u32 shared[];

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(THREADS)
    three_axes(const u32* addend, u32* out, u32 sharedWords) {
  const u32 thread = thread_index();
  if (thread == 0) shared[sharedWords - 1] = *addend;
  block_barrier();
  const u32 block = (block_z() * blocks_y() + block_y()) * blocks_x() + block_index();
  const u32 place = 1000 * block_index() + 10000 * block_y() + 100000 * block_z();
  out[block * THREADS + thread] = shared[sharedWords - 1] + thread + place;
}

}  // namespace ROUTER_NAMESPACE
`;
