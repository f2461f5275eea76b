// inotify on the folder of one file. The folder, not the file: a file that is replaced by a rename is another inode, and a
// watch on the old one would see nothing ever again.

import Glibc

/// What happened to a file, as far as its folder tells.
struct FileEvents: OptionSet {
    let rawValue: UInt8

    /// Written by somebody who has it open still.
    static let written = FileEvents(rawValue: 1)
    /// Closed by its writer, renamed to this name, or made anew: it is as its writer wants it.
    static let settled = FileEvents(rawValue: 2)
    /// Removed or renamed away.
    static let gone = FileEvents(rawValue: 4)
    /// The folder itself is gone, or events were lost.
    static let lost = FileEvents(rawValue: 8)
}

/// Watches for changes of one file. One thread.
final class FolderWatch {
    let descriptor: CInt
    private let folder: String
    private let name: String
    private var watch: CInt = -1

    /// Watches `path`, which need not exist; its folder must.
    init(path: String) throws(DaemonError) {
        let slash = path.lastIndex(of: "/")
        folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        let descriptor = inotify_init1(CInt(IN_CLOEXEC) | CInt(IN_NONBLOCK))
        guard descriptor >= 0 else { throw DaemonError.system("cannot watch files", errno) }
        // Ours from here on: an init that throws once everything is set runs the deinit, which closes it.
        self.descriptor = descriptor
        guard rewatch() else {
            let code = errno
            throw DaemonError(.configuration, "cannot watch the folder '\(folder)' of the registry '\(path)': \(systemText(code))")
        }
    }

    deinit {
        Descriptors.close(descriptor)
    }

    /// Watches the folder that has the name now. False if there is none.
    @discardableResult
    func rewatch() -> Bool {
        let mask = UInt32(IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
        watch = unsafe inotify_add_watch(descriptor, folder, mask)
        return watch >= 0
    }

    var isWatching: Bool { watch >= 0 }

    /// Takes every event that is there. A name that is not the file's counts as settled too: the file may be a symbolic link
    /// whose target was exchanged.
    func take() -> FileEvents {
        var events: FileEvents = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return events }
            var offset = 0
            while offset + 16 <= count {
                events.formUnion(one(buffer, at: offset))
                offset += 16 + Int(FolderWatch.word(buffer, offset + 12))
            }
        }
    }

    /// `struct inotify_event`: watch, mask, cookie, length, name.
    private func one(_ buffer: [UInt8], at offset: Int) -> FileEvents {
        let mask = CInt(bitPattern: FolderWatch.word(buffer, offset + 4))
        if mask & (IN_Q_OVERFLOW) != 0 { return .lost }
        if mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED) != 0 {
            watch = -1
            return .lost
        }
        let length = Int(FolderWatch.word(buffer, offset + 12))
        let bytes = buffer[(offset + 16)..<(offset + 16 + length)].prefix { $0 != 0 }
        guard String(decoding: bytes, as: UTF8.self) == name else { return mask & IN_MOVED_TO != 0 ? .settled : [] }
        if mask & (IN_DELETE | IN_MOVED_FROM) != 0 { return .gone }
        // A new name may be a hard link to a whole file, or a file that is about to be written: the read tells.
        if mask & (IN_CLOSE_WRITE | IN_MOVED_TO) != 0 { return .settled }
        return .written
    }

    private static func word(_ buffer: [UInt8], _ offset: Int) -> UInt32 {
        var word: UInt32 = 0
        for index in 0..<4 { word |= UInt32(buffer[offset + index]) << UInt32(8 * index) }
        return UInt32(littleEndian: word.littleEndian)
    }
}
