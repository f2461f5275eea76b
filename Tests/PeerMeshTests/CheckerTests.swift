// The model checker as a test: what its configurations are there for is really reached.

import MeshChecker
import Testing

@testable import PeerMesh

@Suite("The model checker")
struct CheckerTests {
    /// A space of its own, small enough for a debug build: three deadlines in the midst, no fault.
    private var small: Model {
        var model = Model(name: "B has two addresses")
        model.roaming = [1]
        (model.overtakes, model.crashes, model.breaks) = (3, 0, 0)
        return model
    }

    @Test("surplus links after a merge by nonce (rule 6) are met in a space that is searched whole, and every way on ends in one link")
    func ruleSix() {
        var explorer = Explorer(small)
        let report = explorer.run()
        #expect(report.violation == [])
        #expect(report.isWhole && report.beyond == 0 && report.unjudged == 0)
        #expect(report.surplusStates > 0 && report.calmSurplusStates > 0)
        #expect(report.longestToGood <= small.bound)
    }

    @Test("the default space has configurations in which rule 6 is at work")
    func namedConfiguration() {
        let names = CheckSpace.two.models.filter { $0.overtakes > 0 && $0.roaming == [1] }.map(\.name)
        #expect(names == [
            "B has two addresses, 4 deadlines in the midst", "B has two addresses, 2 deadlines in the midst, one broken connection",
        ])
    }

    @Test("the registry may strike a masternode off and name it again, amid everything else: one link all the same")
    func registryMeddles() {
        var model = Model(name: "registry")
        (model.registryMoves, model.crashes, model.breaks) = (2, 0, 0)
        model.desire = .both
        var explorer = Explorer(model)
        let report = explorer.run()
        #expect(report.violation == [] && report.isWhole && report.states > 1_000)
        #expect(report.longestToGood <= model.bound)
    }
}
