// The files of the copy that have no original.

extension Trial {
    static let manifest = """
        // swift-tools-version: 6.2
        import PackageDescription

        let settings: [SwiftSetting] = [
            .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("InternalImportsByDefault"), .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            .enableExperimentalFeature("Lifetimes"),
        ]
        let package = Package(
            name: "mutants",
            targets: [
                .target(name: "CMutant"),
                .target(name: "Timers", swiftSettings: settings),
                .target(name: "PeerMesh", dependencies: ["Timers", "CMutant"], swiftSettings: settings),
                .target(name: "MeshChecker", dependencies: ["PeerMesh", "Timers"], swiftSettings: settings),
                .executableTarget(name: "mesh-checker", dependencies: ["MeshChecker"], swiftSettings: settings),
                .target(name: "CPrefetch"),
                .target(name: "MeshSimulator", dependencies: ["PeerMesh", "Timers", "CPrefetch"], swiftSettings: settings),
                .executableTarget(name: "mesh-simulator", dependencies: ["MeshSimulator"], swiftSettings: settings),
                // The tests themselves are not optimised: they are built more often than their own speed would pay for.
                .testTarget(
                    name: "PeerMeshTests", dependencies: ["PeerMesh", "MeshChecker", "Timers"], swiftSettings: [.unsafeFlags(["-Onone"])]),
            ],
            swiftLanguageModes: [.v6]
        )

        """

    /// One load and one compare a point: the copy runs at nearly the speed of the original.
    static let header = """
        #pragma once
        extern int reactor_mutant;
        static inline int mutant_is(int number) { return reactor_mutant == number; }

        """

    static let implementation = """
        #include "CMutant.h"
        #include <stdlib.h>
        int reactor_mutant;
        __attribute__((constructor)) static void choose(void) {
            const char *number = getenv("REACTOR_MUTANT");
            reactor_mutant = number ? atoi(number) : 0;
        }

        """

    static let helpers = """
        // Each point of the policies as written, or wrong if it is the chosen one.

        import CMutant

        @inline(__always) private func isChosen(_ number: Int32) -> Bool { mutant_is(number) != 0 }

        @inline(__always) func mutantTrue(_ number: Int32, _ value: Bool) -> Bool { isChosen(number) ? true : value }
        @inline(__always) func mutantFalse(_ number: Int32, _ value: Bool) -> Bool { isChosen(number) ? false : value }

        @inline(__always) func mutantLess<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a <= b : a < b
        }
        @inline(__always) func mutantLessOrEqual<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a < b : a <= b
        }
        @inline(__always) func mutantGreater<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a >= b : a > b
        }
        @inline(__always) func mutantGreaterOrEqual<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a > b : a >= b
        }
        @inline(__always) func mutantEqual<T: Equatable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a != b : a == b
        }
        @inline(__always) func mutantUnequal<T: Equatable>(_ number: Int32, _ a: T, _ b: T) -> Bool {
            isChosen(number) ? a == b : a != b
        }
        @inline(__always) func mutantMin<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> T {
            isChosen(number) ? max(a, b) : min(a, b)
        }
        @inline(__always) func mutantMax<T: Comparable>(_ number: Int32, _ a: T, _ b: T) -> T {
            isChosen(number) ? min(a, b) : max(a, b)
        }

        """
}
