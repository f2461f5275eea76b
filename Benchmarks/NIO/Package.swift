// swift-tools-version: 6.2
// SwiftNIO's server, in a package of its own: whoever counts only our own loop does not build SwiftNIO.
import PackageDescription

let package = Package(
    name: "reactor-benchmarks-nio",
    dependencies: [.package(url: "https://github.com/apple/swift-nio", from: "2.101.2")],
    targets: [
        .executableTarget(
            name: "serve-nio",
            dependencies: [.product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
