// inotify on the folders through which a path leads to one file. Folders, not the file: a file that is replaced by a rename is another
// inode, and a watch on the old one would see nothing ever again. Each symbolic link on the way has a folder of its own. What
// inotify does not see (a bind mount, a network's file system) shows in what `stat` says of the file, every few seconds.

import CEpoll
import Glibc
import Timers

/// What happened to a file, as far as its folders tell.
struct FileEvents: OptionSet {
    let rawValue: UInt8

    /// Written by somebody who has it open still.
    static let written = FileEvents(rawValue: 1)
    /// Closed by its writer, renamed to this name, made anew, or reached by another way: it is as its writer wants it.
    static let settled = FileEvents(rawValue: 2)
    /// Removed or renamed away.
    static let gone = FileEvents(rawValue: 4)
    /// A folder itself is gone, or events were lost.
    static let lost = FileEvents(rawValue: 8)
}

/// Watches for changes of one file. One thread.
final class FolderWatch {
    /// A name in a folder on the way to the file: a link's, or at the end the file's own.
    struct Step: Hashable {
        var folder: String
        var name: String
        var isLink: Bool
    }

    let descriptor: CInt
    private let path: String
    /// The way as it was when it was walked last.
    private(set) var steps: [Step] = []
    private var watches: [CInt: [Step]] = [:]
    /// The file as it was when it was read last, and as it was at the last look.
    private var read: FileIdentity?
    private var seen: FileIdentity?
    private var seenSince = Instant.zero
    /// How long a file that changed without an event must rest before it is read: its writer may not be done.
    private static let rest = Nanoseconds.seconds(2)

    /// Watches `path`, which need not exist; its folder must.
    init(path: String) throws(DaemonError) {
        self.path = path
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = inotify_init1(CInt(IN_CLOEXEC) | CInt(IN_NONBLOCK))
        guard descriptor >= 0 else { throw DaemonError.system("cannot watch files", errno) }
        // Ours from here on: an init that throws once everything is set runs the deinit, which closes it.
        self.descriptor = descriptor
        var state = stat()
        guard unsafe stat(folder, &state) == 0, state.st_mode & S_IFMT == S_IFDIR else {
            let code = errno == 0 ? ENOTDIR : errno
            throw DaemonError(.configuration, "cannot watch the folder '\(folder)' of the registry '\(path)': \(systemText(code))")
        }
        follow()
    }

    deinit {
        Descriptors.close(descriptor)
    }

    /// Walks the path anew, and watches the folders on its way. Whether it leads another way than before.
    @discardableResult
    func follow() -> Bool {
        let found = FolderWatch.walk(path)
        let isComplete = watches.values.reduce(0) { $0 + $1.count } == found.count
        guard found != steps || !isComplete else { return false }
        let isNew = found != steps
        steps = found
        let mask = UInt32(IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
        var next: [CInt: [Step]] = [:]
        for step in found {
            let watch = unsafe inotify_add_watch(descriptor, step.folder, mask)
            if watch >= 0 { next[watch, default: []].append(step) }
        }
        for old in watches.keys where next[old] == nil { _ = inotify_rm_watch(descriptor, old) }
        watches = next
        // A folder that was gone is there again.
        return isNew || next.values.reduce(0) { $0 + $1.count } == found.count
    }

    /// The links on the way to `path` and the file at its end, in order. It ends early where a name does not exist, or leads in a circle.
    static func walk(_ path: String) -> [Step] {
        var steps: [Step] = []
        var folder = path.hasPrefix("/") ? "/" : "."
        var names = Array(path.split(separator: "/").map(String.init).reversed())
        while let name = names.popLast(), steps.count < 64 {
            if name == "." { continue }
            let full = folder == "/" ? "/" + name : folder + "/" + name
            if name == ".." {
                folder = full
                continue
            }
            if let target = link(full) {
                steps.append(Step(folder: folder, name: name, isLink: true))
                if target.hasPrefix("/") { folder = "/" }
                names += target.split(separator: "/").map(String.init).reversed()
            } else if names.isEmpty {
                steps.append(Step(folder: folder, name: name, isLink: false))
            } else if TextFile.exists(full) {
                folder = full
            } else {
                steps.append(Step(folder: folder, name: name, isLink: true))
                return steps
            }
        }
        return steps
    }

    private static func link(_ path: String) -> String? {
        var target = [CChar](repeating: 0, count: 4_096)
        let count = unsafe readlink(path, &target, target.count)
        guard count > 0 else { return nil }
        return String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Remembers the file as it is: it is about to be read.
    func willRead() {
        read = FileIdentity(path: path)
        seen = read
    }

    /// A look without an event: whether the file is another one, or has other content, than when it was read, and rests.
    func hasChangedUnseen() -> Bool {
        let found = FileIdentity(path: path)
        let now = Instant(nanoseconds: cepoll_monotonic())
        if found != seen {
            seen = found
            seenSince = now
        }
        return found != read && now - seenSince >= FolderWatch.rest
    }

    /// Takes every event that is there.
    func take() -> FileEvents {
        var events: FileEvents = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            var offset = 0
            while offset + 16 <= count {
                events.formUnion(one(buffer, at: offset))
                offset += 16 + Int(FolderWatch.word(buffer, offset + 12))
            }
        }
        if !events.isEmpty, follow() { events.insert(.settled) }
        return events
    }

    /// `struct inotify_event`: watch, mask, cookie, length, name.
    private func one(_ buffer: [UInt8], at offset: Int) -> FileEvents {
        let watch = CInt(bitPattern: FolderWatch.word(buffer, offset))
        let mask = CInt(bitPattern: FolderWatch.word(buffer, offset + 4))
        if mask & (IN_Q_OVERFLOW) != 0 { return .lost }
        // Of a watch that was given up on purpose.
        guard let steps = watches[watch] else { return [] }
        if mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED) != 0 {
            watches[watch] = nil
            if mask & IN_IGNORED == 0 { _ = inotify_rm_watch(descriptor, watch) }
            return .lost
        }
        let length = Int(FolderWatch.word(buffer, offset + 12))
        let bytes = buffer[(offset + 16)..<(offset + 16 + length)].prefix { $0 != 0 }
        let name = String(decoding: bytes, as: UTF8.self)
        guard let step = steps.first(where: { $0.name == name }) else { return [] }
        if step.isLink { return .settled }
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
