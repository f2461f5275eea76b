// The few things that the daemon's own threads ask of the kernel about descriptors: waiting, and how many there may be.

import CEpoll
import Glibc

enum Descriptors {
    /// Waits until one of the descriptors can be read, or for `milliseconds` (-1: for ever). A negative descriptor is ignored.
    static func waitReadable(_ first: CInt, _ second: CInt, _ third: CInt = -1, milliseconds: CInt) {
        var set = [3 of pollfd](repeating: pollfd(fd: first, events: Int16(POLLIN), revents: 0))
        set[1].fd = second
        set[2].fd = third
        _ = unsafe withUnsafeMutablePointer(to: &set) { pointer in
            unsafe pointer.withMemoryRebound(to: pollfd.self, capacity: 3) { unsafe poll($0, 3, milliseconds) }
        }
    }

    /// Waits until `descriptor` takes bytes, or for `milliseconds`. True if it does (or has failed, which a write will tell).
    static func waitWritable(_ descriptor: CInt, milliseconds: CInt) -> Bool {
        var one = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return unsafe poll(&one, 1, milliseconds) > 0
    }

    /// Closes what the caller alone owns. Closed twice, a number is somebody else's the second time: a debug build stops there.
    static func close(_ descriptor: CInt) {
        let result = cepoll_close(descriptor)
        assert(result != -CEPOLL_EBADF, "descriptor \(descriptor) is not open: it was closed before")
    }

    /// Reads an eventfd empty.
    static func drain(eventfd: CInt) {
        var value: UInt64 = 0
        _ = unsafe cepoll_read(eventfd, &value, MemoryLayout<UInt64>.size)
    }

    /// How many descriptors the process has open now: the kernel's own list, not a count kept beside it. Nil where it cannot be
    /// read, for want of a descriptor in most cases.
    static var open: UInt64? {
        guard let folder = unsafe opendir("/proc/self/fd") else { return nil }
        defer { unsafe closedir(folder) }
        var count: UInt64 = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // Without `.`, `..` and the one that is being read.
        return count > 3 ? count - 3 : 0
    }

    /// How many descriptors the process may have now; others may change it while it runs. Nil where the system does not say.
    static var limit: UInt64? {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        return unsafe cepoll_descriptor_limit(&soft, &hard) == 0 ? soft : nil
    }

    /// How many are left. Where it cannot be known, none: what is not measured is not good.
    static var free: UInt64 {
        guard let open, let limit, limit > open else { return 0 }
        return limit - open
    }

    /// Whether the descriptor is a terminal.
    static func isTerminal(_ descriptor: CInt) -> Bool {
        isatty(descriptor) == 1
    }

    /// Names the calling thread for `ps` and `top`. A name is a convenience: failure is no error.
    static func nameThread(_ name: String) {
        let descriptor = unsafe Glibc.open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        var bytes = Array(name.utf8)
        _ = unsafe cepoll_write(descriptor, &bytes, bytes.count)
        close(descriptor)
    }
}
