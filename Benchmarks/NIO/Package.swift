// swift-tools-version: 6.2
// SwiftNIO's server, hops onto its loop and ours, and our loop on its, in a package of its own: whoever counts only our own loop does not build SwiftNIO.
import PackageDescription

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
]

let package = Package(
    name: "reactor-benchmarks-nio",
    dependencies: [.package(url: "https://github.com/apple/swift-nio", from: "2.101.2"), .package(name: "reactor", path: "../..")],
    targets: [
        .executableTarget(name: "serve-nio", dependencies: nio),
        // From elsewhere onto a loop and back: ours and SwiftNIO's.
        .executableTarget(name: "hop", dependencies: nio + [.product(name: "Reactor", package: "reactor")]),
        .testTarget(
            name: "NIOHostTests",
            dependencies: nio + [.product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
