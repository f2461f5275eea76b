// What `config check` looks at besides the settings themselves: the files, folders and addresses that they name. Nothing is made or
// changed, and a node that runs with the same settings is no obstacle.

import CEpoll
import Glibc
import PeerMesh

extension ResolvedSettings {
    /// What would keep a node with these settings from working on this machine, as this user.
    public func obstacles() -> [SettingsMistake] {
        var found: [SettingsMistake] = []
        func add(_ name: String, _ value: String, _ accepted: String) {
            let setting = Setting.named(name)
            found.append(SettingsMistake(place: "\(origin(of: setting))", text: "'\(name)' is '\(value)': \(accepted)", status: .configuration))
        }
        for endpoint in configuration.listen {
            if let why = ListenWatch.refusal(of: endpoint) { add("listen", endpoint.description, why) }
        }
        if let readOnly = configuration.control.readOnly, let why = ListenWatch.refusal(of: readOnly) {
            add("control-tcp", readOnly.description, why)
        }
        if let path = configuration.registryFile {
            if let why = Surroundings.damage(ofRegistry: path, configuration.network.defaultPort) { add("registry", path, why) }
        }
        if let directory = configuration.stateDirectory, let why = Surroundings.refusal(ofDirectory: directory) {
            add("state-dir", directory, why)
        }
        if case .path(let path) = configuration.control.place, let why = Surroundings.refusal(ofSocket: path) {
            add("control-socket", path, why)
        }
        return found
    }
}

private enum Surroundings {
    static func damage(ofRegistry path: String, _ defaultPort: UInt16) -> String? {
        switch RegistryKeeper.load(path, defaultPort: defaultPort) {
        case .success: nil
        case .failure(let error): error.why
        }
    }

    /// The directory, or the nearest one above it that exists, must be one that can be written to.
    static func refusal(ofDirectory path: String) -> String? {
        var path = path
        while true {
            var state = stat()
            if unsafe stat(path, &state) == 0 {
                guard state.st_mode & S_IFMT == S_IFDIR else { return "'\(path)' is not a directory" }
                return unsafe access(path, W_OK | X_OK) == 0 ? nil : "'\(path)' cannot be written to: \(systemText(errno))"
            }
            guard errno == ENOENT else { return "'\(path)': \(systemText(errno))" }
            let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
            guard let slash = trimmed.lastIndex(of: "/") else {
                path = "."
                continue
            }
            path = slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
        }
    }

    /// Its folder may be the service manager's to make; if it exists, it must be a directory, and the name must be free or a socket's.
    static func refusal(ofSocket path: String) -> String? {
        var state = stat()
        if unsafe lstat(path, &state) == 0, state.st_mode & S_IFMT != S_IFSOCK { return "something that is not a socket has this name" }
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        if unsafe stat(folder, &state) == 0, state.st_mode & S_IFMT != S_IFDIR { return "'\(folder)' is not a directory" }
        return nil
    }
}
