// Every script that the fuzzer found worth keeping, run once: scripts/fuzz writes them, and what it finds is put beside them.

import Foundation
import MeshFuzzer
import Testing

@Suite("Scripts of events")
struct FuzzCorpusTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Corpus/mesh").standardized

    @Test("every script of the corpus keeps the invariants, and its state is read back as it was written")
    func corpus() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).sorted()
        #expect(!names.isEmpty)
        for name in names {
            let broken = MeshFuzz.run([UInt8](try Data(contentsOf: Self.folder.appending(path: name))))
            #expect(broken == nil, "\(name)")
        }
    }

    @Test("random scripts keep the invariants", arguments: 1...8 as ClosedRange<UInt64>)
    func random(seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        func next() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
        for _ in 0..<25 {
            let script = (0..<400).map { _ in next() }
            let broken = MeshFuzz.run(script)
            #expect(broken == nil, "seed \(seed): \(script)")
        }
    }
}
