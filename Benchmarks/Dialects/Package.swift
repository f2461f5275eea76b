// swift-tools-version: 6.2
// What needs both dialects: full links against a real daemon, and the decoders. A package of its own, because the second
// dialect needs libcrypto, and whoever counts only the loop does not.
import PackageDescription

let library: [Target.Dependency] = [
    .product(name: "Reactor", package: "reactor"), .product(name: "PeerMesh", package: "reactor"),
    .product(name: "BitcoinWire", package: "reactor"),
]
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "reactor-benchmarks-dialects",
    dependencies: [.package(name: "reactor", path: "../..")],
    targets: [
        .executableTarget(name: "serve-dialect", dependencies: library, swiftSettings: strict),
        .executableTarget(name: "codec", dependencies: library, swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
