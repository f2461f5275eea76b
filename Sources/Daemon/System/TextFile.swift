// Files of operators and programs: settings, the registry, lists to import. One reader for all, with one set of rules: a file that
// is gone, empty, binary, too large or being written is refused with the reason; it never becomes "no content". Blocking; never
// on the loop's thread.

import Glibc

/// Why a file is not believed.
public enum FileFault: Error, Hashable, Sendable, CustomStringConvertible {
    case missing
    /// A directory, a pipe, a socket or a device.
    case notRegular
    case tooLarge(limit: Int)
    case empty
    case notUTF8
    case utf16
    /// A byte that no text has; the value is the byte.
    case control(line: Int, UInt8)
    /// It changed while it was read.
    case changing
    case system(CInt)

    public var description: String {
        switch self {
        case .missing: "it does not exist"
        case .notRegular: "it is not a regular file"
        case .tooLarge(let limit): "it is larger than \(limit >> 10) KiB"
        case .empty: "it is empty; a file that is meant to say nothing has a comment line"
        case .notUTF8: "it is not UTF-8 text"
        case .utf16: "it is UTF-16; save it as UTF-8"
        case .control(let line, let byte): "line \(line): unexpected control character 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))"
        case .changing: "it changed while it was read; another program is writing it"
        case .system(let code): "it cannot be read: \(systemText(code))"
        }
    }
}

/// Which file a path leads to, and its state: a change of the content changes this.
struct FileIdentity: Hashable, Sendable {
    var device: UInt64
    var inode: UInt64
    var size: Int64
    /// Nanoseconds; both, as a copy may keep the first.
    var modified: Int64
    var changed: Int64

    /// Nil with `errno` set if there is none.
    init?(path: String) {
        var state = stat()
        guard unsafe stat(path, &state) == 0 else { return nil }
        self.init(state)
    }

    fileprivate init(_ state: stat) {
        device = UInt64(state.st_dev)
        inode = UInt64(state.st_ino)
        size = Int64(state.st_size)
        modified = Int64(state.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(state.st_mtim.tv_nsec)
        changed = Int64(state.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(state.st_ctim.tv_nsec)
    }
}

public enum TextFile {
    /// The text of the regular file at `path`, as bytes of valid UTF-8 without a byte order mark.
    public static func text(_ path: String, limit: Int) throws(FileFault) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw errno == ENOENT || errno == ENOTDIR ? .missing : .system(errno) }
        defer { Descriptors.close(descriptor) }
        var before = stat()
        guard unsafe fstat(descriptor, &before) == 0 else { throw .system(errno) }
        guard before.st_mode & S_IFMT == S_IFREG else { throw .notRegular }
        guard Int64(before.st_size) <= Int64(limit) else { throw .tooLarge(limit: limit) }
        guard let bytes = read(descriptor, limit: limit) else {
            throw errno == EFBIG ? .tooLarge(limit: limit) : .system(errno)
        }
        var after = stat()
        guard unsafe fstat(descriptor, &after) == 0 else { throw .system(errno) }
        guard FileIdentity(before) == FileIdentity(after), Int64(bytes.count) == Int64(after.st_size) || after.st_size == 0 else {
            throw .changing
        }
        return try text(bytes)
    }

    /// The same of an open file or pipe, to its end.
    public static func text(descriptor: CInt, limit: Int) throws(FileFault) -> [UInt8] {
        guard let bytes = read(descriptor, limit: limit) else { throw errno == EFBIG ? .tooLarge(limit: limit) : .system(errno) }
        return try text(bytes)
    }

    /// The same of bytes that were read already.
    public static func text(_ bytes: [UInt8]) throws(FileFault) -> [UInt8] {
        guard !bytes.isEmpty else { throw .empty }
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) { throw .utf16 }
        let mark: [UInt8] = [0xef, 0xbb, 0xbf]
        let text = bytes.starts(with: mark) ? Array(bytes.dropFirst(mark.count)) : bytes
        // Blanks alone are what is left of a file, as often as no byte at all.
        guard text.contains(where: { $0 > 0x20 }) || text.contains(where: { $0 < 0x09 }) else { throw .empty }
        try refuseControls(text)
        guard String(validating: text, as: UTF8.self) != nil else { throw .notUTF8 }
        return text
    }

    /// Tabs and line ends (LF, CRLF) are the only control characters of a text.
    private static func refuseControls(_ text: [UInt8]) throws(FileFault) {
        var line = 1
        for index in text.indices {
            let byte = text[index]
            if byte >= 0x20, byte != 0x7f { continue }
            if byte == 0x0a {
                line += 1
                continue
            }
            if byte == 0x09 || byte == 0x0d && index + 1 < text.count && text[index + 1] == 0x0a { continue }
            throw .control(line: line, byte)
        }
    }

    /// The bytes of the file at `path`, at most `limit`; nil with `errno` set if it cannot be read or is larger. For files of the
    /// system, such as those in /proc, which have no size.
    static func read(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { Descriptors.close(descriptor) }
        return read(descriptor, limit: limit)
    }

    /// The same of an open file or pipe.
    static func read(_ descriptor: CInt, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= limit else {
                errno = EFBIG
                return nil
            }
        }
    }

    /// Whether something has this name, if only a link that leads nowhere or a file that may not be read.
    static func isNamed(_ path: String) -> Bool {
        var state = stat()
        return unsafe lstat(path, &state) == 0 || errno != ENOENT && errno != ENOTDIR
    }

    static func exists(_ path: String) -> Bool {
        unsafe access(path, F_OK) == 0
    }
}
