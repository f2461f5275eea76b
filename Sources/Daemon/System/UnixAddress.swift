// The address of a Unix socket, and the two calls that take one.

import CEpoll
import Glibc

/// A Unix socket's address.
public struct UnixAddress {
    private let bytes: [UInt8]
    private let length: Int

    /// `path` is at most 107 bytes long.
    public init(_ path: String) {
        precondition(path.utf8.count < 108, "the system takes 107 bytes")
        bytes = Array(path.utf8)
        length = MemoryLayout<sockaddr_un>.size
    }

    /// A name that no file has, of 107 bytes at most: a zero byte stands before it, and none behind.
    init(abstract name: String) {
        precondition(name.utf8.count < 108, "the system takes 107 bytes")
        bytes = [0] + Array(name.utf8)
        length = MemoryLayout<sa_family_t>.size + bytes.count
    }

    /// connect(2): 0, or -1 and errno.
    public func connect(_ descriptor: CInt) -> CInt {
        unsafe with { unsafe Glibc.connect(descriptor, $0, $1) }
    }

    /// bind(2): 0, or -1 and errno.
    public func bind(_ descriptor: CInt) -> CInt {
        unsafe with { unsafe Glibc.bind(descriptor, $0, $1) }
    }

    /// Lends the address as the system takes it.
    private func with<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(length)) }
        }
    }
}
