// Wrong policies in a simulated world: noticed, and shrunk to what one can read.
// swift test -c release --scratch-path .build-canaries -Xswiftc -DMESH_CANARIES --filter CanaryTests

#if MESH_CANARIES
    import PeerMesh
    import Testing

    @testable import MeshSimulator

    @Suite("Simulated canaries")
    struct SimulatedCanaryTests {
        @Test(
            "a wrong policy in a world of 24 nodes is noticed, and shrunk to at most 5 nodes",
            arguments: [
                (Canary.starvation, "split-halves"), (.livenessTurnedOff, "hello-liars"), (.directionIsAGate, "rolling-restart"),
                (.staleRow, "flapping"),
            ]
        )
        func shrinks(canary: Canary, name: String) {
            var scenario = Scenario()
            let isKnown = scenario.become(name)
            #expect(isKnown)
            scenario.nodes = 24
            scenario.masternodes = 16
            #expect(!Shrinker.violates(scenario), "the shipped policies hold")
            scenario.canary = canary
            #expect(Shrinker.violates(scenario), "\(canary) went unnoticed")
            var shrinker = Shrinker(scenario)
            shrinker.shrink()
            let smallest = shrinker.smallest
            #expect(smallest.nodes <= 5 && Shrinker.violates(smallest))
            var mended = smallest
            mended.canary = nil
            #expect(!Shrinker.violates(mended), "without the wrong policy the small scenario holds")
            print("canary: \(canary) | simulator, \(name): \(smallest.nodes) nodes and \(smallest.steps.count) steps after \(shrinker.runs) runs")
        }
    }
#endif
