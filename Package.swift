// swift-tools-version: 6.2
import PackageDescription

// REACTOR_CORE_ONLY=1 leaves out everything above `Reactor`: sanitizers, fuzzers and the checker build in seconds,
// and it proves that embedding needs libc and nothing else.
let coreOnly = Context.environment["REACTOR_CORE_ONLY"] == "1"

// REACTOR_FAULTS=1 puts the fault table under the loop, for tests alone (docs/Traps.md). Every importer of the C shim must
// see it, so it is a flag of every target; a package that depends on this one cannot ask for it.
let hasFaults = Context.environment["REACTOR_FAULTS"] == "1"
let faults: [SwiftSetting] = hasFaults ? [.define("REACTOR_FAULTS"), .unsafeFlags(["-Xcc", "-DCEPOLL_FAULTS"])] : []

let strict: [SwiftSetting] = faults + [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

// Tests reach into the core on purpose and use Foundation; the memory-safety audit is for what ships.
let testing: [SwiftSetting] = faults + [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

var products: [Product] = [
    .library(name: "Reactor", targets: ["Reactor"]),
    .library(name: "PeerMesh", targets: ["PeerMesh"]),
    // For C and all who can call it: libreactor.so with Sources/CReactor/include/reactor.h.
    .library(name: "reactor", type: .dynamic, targets: ["ReactorC"]),
]

var targets: [Target] = [
    .target(name: "CEpoll", cSettings: hasFaults ? [.define("CEPOLL_FAULTS")] : []),
    .target(name: "Timers", swiftSettings: strict),
    .target(name: "CPrefetch"),
    .target(name: "PeerMesh", dependencies: ["Timers", "CPrefetch"], swiftSettings: strict),
    .target(name: "MeshChecker", dependencies: ["PeerMesh", "Timers"], swiftSettings: strict),
    .executableTarget(name: "mesh-checker", dependencies: ["MeshChecker"], swiftSettings: strict),
    // Scripts of events, for the fuzzer and for the test that runs its corpus.
    .target(name: "MeshFuzzer", dependencies: ["PeerMesh", "Timers"], swiftSettings: strict),
    .target(name: "Reactor", dependencies: ["CEpoll", "CPrefetch", "Timers", "PeerMesh"], swiftSettings: strict),
    .target(name: "CReactor"),
    .target(name: "ReactorC", dependencies: ["CReactor", "Reactor", "PeerMesh", "Timers", "CEpoll"], swiftSettings: strict),
    .target(name: "MeshSimulator", dependencies: ["PeerMesh", "Timers", "CPrefetch"], swiftSettings: strict),
    .executableTarget(name: "mesh-simulator", dependencies: ["MeshSimulator"], swiftSettings: strict),
    .testTarget(name: "TimersTests", dependencies: ["Timers"], swiftSettings: testing),
    .testTarget(name: "PeerMeshTests", dependencies: ["PeerMesh", "MeshChecker", "MeshFuzzer", "Timers"], swiftSettings: testing),
    .testTarget(name: "MeshSimulatorTests", dependencies: ["MeshSimulator", "PeerMesh", "Timers"], swiftSettings: testing),
    .target(name: "CTestSupport", path: "Tests/CTestSupport"),
    .testTarget(
        name: "ReactorTests", dependencies: ["Reactor", "PeerMesh", "Timers", "CEpoll", "CTestSupport"], swiftSettings: testing
    ),
    .testTarget(name: "ReactorCTests", dependencies: ["ReactorC", "CReactor"], swiftSettings: testing),
]

// REACTOR_FUZZ=1 adds the fuzzers, which link only where libFuzzer is linked, too: see scripts/fuzz.
if Context.environment["REACTOR_FUZZ"] == "1" {
    targets += [
        .target(name: "CFuzzer"),
        .executableTarget(name: "mesh-fuzz", dependencies: ["CFuzzer", "MeshFuzzer"], swiftSettings: strict),
    ]
}

var dependencies: [Package.Dependency] = []

if !coreOnly {
    dependencies = [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        // No trait: files are parsed here, with the line of each mistake.
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ]
    products += [
        .library(name: "BitcoinWire", targets: ["BitcoinWire"]),
        .library(name: "ReactorService", targets: ["ReactorService"]),
        .executable(name: "reactor-node", targets: ["reactor-node"]),
    ]
    targets += [
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "BitcoinWire", dependencies: ["Reactor", "PeerMesh", "Timers", "COpenSSL"], swiftSettings: strict),
        .target(
            name: "ReactorService",
            dependencies: ["Reactor", "PeerMesh", .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")],
            swiftSettings: strict
        ),
        .target(
            name: "Daemon",
            dependencies: [
                "Reactor", "PeerMesh", "Timers", "CEpoll", "BitcoinWire",
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Metrics", package: "swift-metrics"),
            ],
            resources: ["dashboard.html", "dashboard.css", "dashboard.js", "table.js", "mesh.js", "charts.js", "why.js", "live.js"]
                .map { .embedInCode("Dashboard/\($0)") },
            swiftSettings: strict
        ),
        .executableTarget(
            name: "reactor-node",
            dependencies: [
                "Daemon", "Reactor", "PeerMesh", "Timers", "BitcoinWire", "MeshChecker", "MeshSimulator",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ReactorServiceTests",
            dependencies: [
                "ReactorService", "Reactor", "PeerMesh",
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: testing
        ),
        .testTarget(
            name: "BitcoinWireTests", dependencies: ["BitcoinWire", "Reactor", "PeerMesh", "Timers"], swiftSettings: testing
        ),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["Daemon", "reactor-node", "Reactor", "PeerMesh", "Timers", "CEpoll", "BitcoinWire", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: testing
        ),
        .testTarget(name: "NodeTests", dependencies: ["reactor-node", "Daemon", "Reactor", "PeerMesh", "Timers"], swiftSettings: testing),
    ]
}

let package = Package(
    name: "reactor",
    products: products,
    dependencies: dependencies,
    targets: targets,
    swiftLanguageModes: [.v6]
)
