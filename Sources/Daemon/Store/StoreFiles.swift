// The files of a store as the system sees them: nobody but this user reads them, no link leads elsewhere, and a file that is
// damaged is moved, never written over.

import Glibc

enum StoreFiles {
    private static let suffixes = ["", "-wal", "-shm", "-journal"]

    /// A name of the store that is not a file of its own.
    struct Foreign: Error {
        let path: String
    }

    /// Refuses links and whatever else is no regular file: SQLite would follow them.
    static func check(_ path: String) throws(Foreign) {
        for suffix in suffixes {
            var state = stat()
            guard unsafe lstat(path + suffix, &state) == 0 else { continue }
            guard state.st_mode & S_IFMT == S_IFREG, state.st_nlink == 1 else { throw Foreign(path: path + suffix) }
        }
    }

    /// Makes the file, for this user alone, if there is none; takes everybody else's rights to one that is there.
    static func prepare(_ path: String) throws(Foreign) {
        try check(path)
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        if descriptor >= 0 { Descriptors.close(descriptor) }
        for suffix in suffixes { _ = unsafe chmod(path + suffix, 0o600) }
    }

    /// Moves a damaged store out of the way. Its name there; nil with `errno` set if the directory takes no change.
    static func setAside(_ path: String, at now: WallTime) -> String? {
        let stem = "\(path).damaged-\(now.milliseconds / 1_000)"
        var name = stem
        var copies = 1
        while TextFile.exists(name) {
            copies += 1
            name = "\(stem)-\(copies)"
        }
        guard unsafe rename(path, name) == 0 else { return nil }
        for suffix in suffixes.dropFirst() { _ = unsafe rename(path + suffix, name + suffix) }
        return name
    }
}
