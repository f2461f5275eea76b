// The copy: the core's sources, tests and simulators, a manifest of its own, and the switch.

import Foundation

struct Trial {
    let source: URL
    let into: URL
    private(set) var points: [Point] = []
    private(set) var fileCount = 0

    init(source: URL, into: URL) {
        self.source = source
        self.into = into
    }

    /// Files of PeerMesh that decide nothing: the checks themselves, containers, codecs, texts.
    private static let left: Set<String> = [
        "Mesh/Canaries.swift", "Mesh/Mesh+Lines.swift", "Mesh/Mesh+Invariants.swift", "Mesh/Mesh+Canonical.swift",
        "Tables/HashIndex.swift", "Tables/IndexLists.swift", "Tables/Slab.swift", "Tables/Random.swift", "Tables/StateCoder.swift", "Endpoint+Text.swift",
    ]

    private static let copied = [
        "Sources/Timers", "Sources/PeerMesh", "Sources/MeshChecker", "Sources/mesh-checker", "Sources/CPrefetch",
        "Sources/MeshSimulator", "Sources/mesh-simulator", "Tests/PeerMeshTests", "docs",
    ]

    /// Files that did not change keep their date, so that a second build is a short one.
    mutating func write() throws {
        for folder in Self.copied { try copy(folder) }
        try put(Self.manifest, "Package.swift")
        try put(Self.header, "Sources/CMutant/include/CMutant.h")
        try put(Self.implementation, "Sources/CMutant/CMutant.c")
        try put(Self.helpers, "Sources/PeerMesh/Mutant.swift")
        try put(points.map(\.row).joined(separator: "\n") + "\n", "mutants.tsv")
    }

    private mutating func copy(_ folder: String) throws {
        let root = source.appending(path: folder)
        guard let names = FileManager.default.enumerator(atPath: root.path) else { return }
        for name in names.compactMap({ $0 as? String }).sorted() {
            let file = root.appending(path: name)
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder), !isFolder.boolValue else { continue }
            if folder == "Sources/PeerMesh", name.hasSuffix(".swift"), !Self.left.contains(name) {
                let instrumenter = try Instrumenter(
                    file: name, source: String(contentsOf: file, encoding: .utf8), firstNumber: points.count + 1)
                try put(instrumenter.instrumented(), "\(folder)/\(name)")
                points += instrumenter.points
                if !instrumenter.points.isEmpty { fileCount += 1 }
            } else {
                try put(Data(contentsOf: file), "\(folder)/\(name)")
            }
        }
    }

    private func put(_ text: String, _ path: String) throws {
        try put(Data(text.utf8), path)
    }

    private func put(_ data: Data, _ path: String) throws {
        let file = into.appending(path: path)
        if let old = try? Data(contentsOf: file), old == data { return }
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: file)
    }
}
