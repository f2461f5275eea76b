// One process a state directory. The lock is the kernel's: it ends with the process, however that ends, so that no stale file ever
// keeps a node from starting.

import Glibc

/// The right to a state directory, held until it is let go.
final class DirectoryLock: Sendable {
    private let descriptor: CInt
    /// Whether the directory had a lock file already: a node has used it before.
    let wasUsed: Bool

    /// Makes the directory if need be, and takes it; or says which process has it.
    init(_ directory: String) throws(DaemonError) {
        try DirectoryLock.make(directory)
        let path = directory + "/lock"
        // A link is not followed: its target would be overwritten.
        let made = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        let descriptor = made >= 0 ? made : unsafe open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ELOOP { throw DirectoryLock.foreign(path) }
            throw DaemonError(.configuration, "cannot use the state directory '\(directory)': \(systemText(errno)) (--state-dir)")
        }
        // Ours from here on: an init that throws once everything is set runs the deinit, which closes it.
        self.descriptor = descriptor
        wasUsed = made < 0
        var state = stat()
        guard unsafe fstat(descriptor, &state) == 0, state.st_mode & S_IFMT == S_IFREG, state.st_nlink == 1 else {
            throw DirectoryLock.foreign(path)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = DirectoryLock.holder(path)
            throw DaemonError(
                .unavailable,
                "the state directory '\(directory)' is in use by \(holder): stop that node, or give this one a directory of its own (--state-dir)"
            )
        }
        // Who holds it is for people to read; a disk without room for a number is no reason not to run.
        var text = Array("\(getpid())\n".utf8)
        _ = ftruncate(descriptor, 0)
        _ = unsafe pwrite(descriptor, &text, text.count, 0)
    }

    deinit {
        // A child that is between its fork and its exec has the descriptor, too: the close alone would leave it the lock.
        _ = flock(descriptor, LOCK_UN)
        Descriptors.close(descriptor)
    }

    private static func foreign(_ path: String) -> DaemonError {
        DaemonError(.configuration, "'\(path)' is a link or not a regular file: remove it, or give another directory (--state-dir)")
    }

    private static func make(_ directory: String) throws(DaemonError) {
        var made = ""
        for part in directory.split(separator: "/", omittingEmptySubsequences: false) {
            made += made.isEmpty && !directory.hasPrefix("/") ? String(part) : "/" + part
            if made.isEmpty || made == "/" || part.isEmpty { made = made == "/" ? "" : made; continue }
            if unsafe mkdir(made, 0o700) != 0, errno != EEXIST, !TextFile.exists(made) {
                throw DaemonError(.configuration, "cannot make the state directory '\(directory)': \(made): \(systemText(errno)) (--state-dir)")
            }
        }
    }

    private static func holder(_ path: String) -> String {
        guard let bytes = TextFile.read(path, limit: 64) else { return "another process" }
        let text = String(decoding: bytes.prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self)
        guard let pid = Int32(text) else { return "another process" }
        let name = TextFile.read("/proc/\(pid)/comm", limit: 64).map { String(decoding: $0.prefix { $0 != 0x0a }, as: UTF8.self) }
        return "process \(pid)" + (name.map { " (\($0))" } ?? "")
    }
}
