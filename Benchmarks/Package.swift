// swift-tools-version: 6.2
// Measurements of the library from outside: a package of its own, so that what it needs never reaches the library.
import PackageDescription

let package = Package(
    name: "reactor-benchmarks",
    dependencies: [
        .package(name: "reactor", path: ".."),
    ],
    targets: [
        // The server side of connection churn, on the bare loop.
        .executableTarget(
            name: "churn",
            dependencies: [.product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor")],
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
        // The client side, in C: a process of its own, so that the counts are the server's alone.
        .executableTarget(name: "churn-load"),
        // Two linked nodes that ping, exchange frames, or link and part, so often as asked.
        .executableTarget(
            name: "node-pair",
            dependencies: [.product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor")],
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
        // The bare loop's timers and jobs.
        .executableTarget(
            name: "loop-work", dependencies: [.product(name: "Reactor", package: "reactor")],
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
        // What a flood does to another peer's echo.
        .executableTarget(
            name: "flood",
            dependencies: [.product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor")],
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
    ],
    swiftLanguageModes: [.v6]
)
