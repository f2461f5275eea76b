// swift-tools-version: 6.2
// Programs that use the library as yours would: a package of its own, so that what an example needs never reaches the library.
// REACTOR_CORE_ONLY=1 leaves out those that need more than the library. C, GLib, Python and Rust are beside this file.
import PackageDescription

let coreOnly = Context.environment["REACTOR_CORE_ONLY"] == "1"
let library: [Target.Dependency] = [
    .product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor"),
]
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

var dependencies: [Package.Dependency] = [.package(name: "reactor", path: "..")]
var targets: [Target] = [
    .executableTarget(name: "echo-daemon", dependencies: library, swiftSettings: strict),
    .executableTarget(name: "chat-mesh", dependencies: library, swiftSettings: strict),
    .executableTarget(name: "sidecar", dependencies: library, swiftSettings: strict),
    .executableTarget(name: "own-dialect", dependencies: library, swiftSettings: strict),
]

if !coreOnly {
    dependencies += [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    ]
    targets += [
        .executableTarget(
            name: "nio-gateway",
            dependencies: library + [.product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio")],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "service",
            dependencies: library + [
                .product(name: "ReactorService", package: "reactor"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
    ]
}

let package = Package(name: "reactor-examples", dependencies: dependencies, targets: targets, swiftLanguageModes: [.v6])
