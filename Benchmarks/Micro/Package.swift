// swift-tools-version: 6.1
// Distributions of time for the parts that run per message: `REACTOR_CORE_ONLY=1 swift package --disable-sandbox benchmark`. A package
// of its own, because the tool that runs it brings much along and wants these traits off.
import PackageDescription

let package = Package(
    name: "reactor-benchmarks-micro",
    platforms: [.macOS(.v13)],
    dependencies: [
        .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []),
        .package(name: "reactor", path: "../.."),
    ],
    targets: [
        .executableTarget(
            name: "Micro",
            dependencies: [
                .product(name: "Benchmark", package: "benchmark"), .product(name: "Reactor", package: "reactor"),
                .product(name: "PeerMesh", package: "reactor"),
            ],
            path: "Benchmarks/Micro",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
