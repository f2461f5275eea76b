// The socket that a control API listens on: claimed for this process alone, its stale predecessor replaced, 0600 from birth.
// A lock beside it says whose it is: the kernel gives it back when its process ends, however that ends. If the file is deleted while
// the node runs, the socket is bound again.

import CEpoll
import Glibc
import PeerMesh

/// A listening Unix socket and the lock that guards its path. Used by one thread at a time.
struct ControlSocket: ~Copyable {
    let path: String
    private let makesDirectory: Bool
    private var lock: CInt
    private var socket: CInt
    /// The file that the socket is bound to: its device and inode.
    private var file: FileID?
    /// Why the socket could not be bound again; told once.
    private var trouble: String?

    /// What to wait for: clients.
    var descriptor: CInt { socket }

    /// Clients that the kernel keeps until they are accepted.
    private static let backlog: CInt = 128

    /// Claims `path`. `owns` tells whether its directory is ours to make.
    init(claiming path: String, makingDirectory: Bool) throws(DaemonError) {
        guard path.utf8.count < 108 else {
            throw DaemonError(.usage, "the control socket's path '\(path)' is too long: the system takes 107 bytes")
        }
        if makingDirectory { try ControlSocket.makeDirectory(of: path) }
        let lock = try ControlSocket.takeLock(path)
        do throws(DaemonError) {
            try ControlSocket.removeStale(path)
            socket = try ControlSocket.bind(path)
        } catch {
            Descriptors.close(lock)
            throw error
        }
        self.path = path
        self.lock = lock
        makesDirectory = makingDirectory
        file = FileID(at: path)
    }

    deinit {
        // Another program may have put its own file there.
        if file != nil, FileID(at: path) == file { _ = unsafe unlink(path) }
        Descriptors.close(socket)
        // Still locked: whoever has it open by now finds that it is no longer the path's, and opens the new one.
        if ControlSocket.isStill(lock, at: path + ".lock") { _ = unsafe unlink(path + ".lock") }
        Descriptors.close(lock)
    }

    /// Binds the socket again if its file is gone or is another one. Returns what there is to log: nothing, as a rule.
    mutating func check() -> StartLines {
        var lines = StartLines()
        if let file, FileID(at: path) == file {
            trouble = nil
            return lines
        }
        do throws(DaemonError) {
            try bindAgain()
            trouble = nil
            lines.add(
                .warning, "control-rebound", ("socket", .text(path)),
                ("message", .text("the control socket's file was gone; the socket is bound again"))
            )
        } catch {
            guard trouble != error.description else { return lines }
            trouble = error.description
            lines.add(.error, "control-unreachable", ("socket", .text(path)), ("message", .text(error.description)))
        }
        return lines
    }

    private mutating func bindAgain() throws(DaemonError) {
        if makesDirectory { try ControlSocket.makeDirectory(of: path) }
        // A second descriptor of a file that is locked already must not be opened: closing it would give the lock away.
        if !ControlSocket.isStill(lock, at: path + ".lock") {
            let newLock = try ControlSocket.takeLock(path)
            Descriptors.close(lock)
            lock = newLock
        }
        try ControlSocket.removeStale(path)
        let newSocket = try ControlSocket.bind(path)
        Descriptors.close(socket)
        socket = newSocket
        file = FileID(at: path)
    }

    private static func makeDirectory(of path: String) throws(DaemonError) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let directory = String(path[..<slash])
        if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST {
            throw DaemonError.system("cannot make \(directory) for the control socket; --control-socket names another place, or none", errno)
        }
        var status = stat()
        guard unsafe lstat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(),
            status.st_mode & 0o022 == 0
        else {
            throw DaemonError(
                .unavailable, "\(directory) is not this user's own directory: --control-socket names another place for the control socket"
            )
        }
    }

    /// Locks the file beside the socket, or says who has it.
    private static func takeLock(_ path: String) throws(DaemonError) -> CInt {
        let lock = unsafe open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else {
            throw DaemonError.system("cannot open \(path).lock; --control-socket names another place for the control socket", errno)
        }
        var range = flock()
        range.l_type = Int16(F_WRLCK)
        range.l_whence = Int16(SEEK_SET)
        if unsafe fcntl(lock, F_SETLK, &range) == 0 {
            if isStill(lock, at: path + ".lock") { return lock }
            // A node that ended took its file along in between.
            Descriptors.close(lock)
            return try takeLock(path)
        }
        let code = errno
        let holder = unsafe fcntl(lock, F_GETLK, &range) == 0 && range.l_type != Int16(F_UNLCK) ? range.l_pid : 0
        Descriptors.close(lock)
        guard code == EAGAIN || code == EACCES else { throw DaemonError.system("cannot lock \(path).lock", code) }
        throw DaemonError(
            .unavailable,
            "the control socket \(path) is held by \(processText(holder)): end that node first, or give this one another --control-socket"
        )
    }

    /// Whether the open file is the one that lies at `path`.
    private static func isStill(_ descriptor: CInt, at path: String) -> Bool {
        guard let open = FileID(of: descriptor) else { return false }
        return FileID(at: path) == open
    }

    private static func processText(_ pid: pid_t) -> String {
        guard pid > 0 else { return "another process" }
        let descriptor = unsafe open("/proc/\(pid)/comm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "process \(pid)" }
        defer { Descriptors.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe read(descriptor, &bytes, bytes.count)
        let name = String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 10 }, as: UTF8.self)
        return name.isEmpty ? "process \(pid)" : "process \(pid) (\(name))"
    }

    /// With the lock in hand, a socket that lies there is a dead node's. Anything else is somebody's file: left alone.
    private static func removeStale(_ path: String) throws(DaemonError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw DaemonError(.unavailable, "\(path) exists and is no socket: --control-socket names another place for the control socket")
        }
        if let holder = listener(at: path) {
            throw DaemonError(
                .unavailable, "the control socket \(path) is held by \(processText(holder)): give this node another --control-socket"
            )
        }
        if unsafe unlink(path) != 0 { throw DaemonError.system("cannot replace the stale socket \(path)", errno) }
    }

    /// The process that listens at `path`, if one does: a program that knows nothing of our lock.
    private static func listener(at path: String) -> pid_t? {
        let probe = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { return nil }
        defer { Descriptors.close(probe) }
        guard UnixAddress(path).connect(probe) == 0 else { return nil }
        return PeerCredentials.of(probe)?.process ?? 0
    }

    private static func bind(_ path: String) throws(DaemonError) -> CInt {
        let descriptor = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw DaemonError.system("cannot make the control socket", errno) }
        // The mode of the socket's inode becomes the file's: no moment in which others may connect, and no umask touched.
        guard fchmod(descriptor, 0o600) == 0, UnixAddress(path).bind(descriptor) == 0,
            listen(descriptor, backlog) == 0
        else {
            let code = errno
            Descriptors.close(descriptor)
            throw DaemonError.system("cannot make the control socket \(path); --control-socket names another place, or none", code)
        }
        _ = unsafe chmod(path, 0o600)
        return descriptor
    }
}

/// Who is at the other end of a Unix socket: the kernel's `struct ucred`.
struct PeerCredentials: BitwiseCopyable {
    var process: pid_t = 0
    var user: uid_t = 0
    var group: gid_t = 0

    /// Nil if the kernel does not say.
    static func of(_ descriptor: CInt) -> PeerCredentials? {
        var credentials = PeerCredentials()
        var length = socklen_t(MemoryLayout<PeerCredentials>.size)
        return unsafe getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials : nil
    }
}

/// Which file a path or a descriptor stands for.
struct FileID: Hashable {
    private let device: UInt64
    private let inode: UInt64

    /// The file at `path` itself, not what a link there points to; nil if there is none.
    init?(at path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
    }

    /// Nil if the descriptor is not open.
    init?(of descriptor: CInt) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return nil }
        (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
    }
}
