// swift-tools-version: 6.2
// Measurements of the library from outside: a package of its own, so that what it needs never reaches the library. What it
// compares with is in `Peers` and `NIO`, what needs a second dialect in `Dialects`; `Harness` runs and shows it all.
import PackageDescription

let library: [Target.Dependency] = [
    .product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor"),
]
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "reactor-benchmarks",
    dependencies: [
        .package(name: "reactor", path: ".."),
    ],
    targets: [
        // The server side of connection churn, on the bare loop, as scripts/counts has it.
        .executableTarget(name: "churn", dependencies: library, swiftSettings: strict),
        // The same server in tasks: what the async layer costs.
        .executableTarget(
            name: "churn-tasks", dependencies: library,
            swiftSettings: strict + [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]
        ),
        // The client side, in C: a process of its own, so that the counts are the server's alone.
        .executableTarget(name: "churn-load"),
        // Two linked nodes that ping, exchange frames, or link and part, so often as asked.
        .executableTarget(name: "node-pair", dependencies: library, swiftSettings: strict),
        // The compared protocol as a dialect of the node.
        .target(
            name: "BenchmarkWire", dependencies: library,
            swiftSettings: strict + [.enableUpcomingFeature("InternalImportsByDefault")]
        ),
        // The bare loop's timers and jobs.
        .executableTarget(name: "loop-work", dependencies: library, swiftSettings: strict),
        // What a flood does to another peer's echo.
        .executableTarget(name: "flood", dependencies: library, swiftSettings: strict),
        // Two of the compared servers: our loop alone, and a whole node.
        .executableTarget(name: "serve-loop", dependencies: library, swiftSettings: strict),
        .executableTarget(name: "serve-mesh", dependencies: library + ["BenchmarkWire"], swiftSettings: strict),
        // The same two in tasks.
        .executableTarget(
            name: "serve-tasks", dependencies: library + ["BenchmarkWire"],
            swiftSettings: strict + [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]
        ),
        // A node that dials: cycles of links, and storms of them.
        .executableTarget(name: "dialler", dependencies: library + ["BenchmarkWire"], swiftSettings: strict),
        // The timer wheel, and the node's tables, without sockets.
        .executableTarget(name: "timer-wheel", dependencies: library, swiftSettings: strict),
        .executableTarget(name: "mesh-table", dependencies: library, swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
