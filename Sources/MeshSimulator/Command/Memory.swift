// Memory for large worlds. Ten thousand meshes are gigabytes of small tables that are touched in no order: on pages of 4 KiB
// a quarter of the run is spent looking up addresses (21.8 s of a 150 s world without, 15.9 s with large pages).

import Glibc

/// glibc's own, in no module map: <malloc.h>.
@_silgen_name("mallopt")
private func mallopt(_ parameter: CInt, _ value: CInt) -> CInt

enum Memory {
    private static let trimThreshold: CInt = -1
    private static let mapMax: CInt = -4

    /// Asks for large pages for the heap of a world of `nodes`. Concerns the whole process, so only the command does it; a
    /// system that refuses changes nothing but the speed.
    static func prepare(nodes: Int) {
        guard nodes > 1_000 else { return }
        // Everything from one heap that is not given back, grown once: its address range can be advised as a whole.
        guard mallopt(mapMax, 0) == 1, mallopt(trimThreshold, -1) == 1 else { return }
        guard let block = unsafe malloc(nodes * 512 << 10) else { return }
        unsafe free(block)
        let large = UInt(2 << 20)
        let first = (UInt(bitPattern: block) + large - 1) & ~(large - 1)
        guard let end = unsafe sbrk(0).map({ UInt(bitPattern: $0) }), end > first + large else { return }
        _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: first), Int(end - first), MADV_HUGEPAGE)
    }
}
