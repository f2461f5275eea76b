import Glibc

/// Nanoseconds of processor that this thread has had: what a comparison within one run may be made of on a busy machine.
func processorTime() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
