// Whether a launch may begin before the kernel before it is done: then there is time until once_kernel_before_is_done.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 900
constexpr bool kMayBeginEarly = true;
#else
constexpr bool kMayBeginEarly = false;
#endif

}  // namespace ROUTER_NAMESPACE
