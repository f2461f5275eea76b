// Each wrong policy of `Canary` must be caught, and the right ones must not: a check that cannot fail is a defect.
// swift test -c release --scratch-path .build-canaries -Xswiftc -DMESH_CANARIES --filter CanaryTests

#if MESH_CANARIES
    import MeshChecker
    import Testing
    import Timers

    @testable import PeerMesh

    @Suite("Canaries")
    struct CanaryTests {
        @Test("every wrong policy is caught", arguments: Canary.allCases)
        func caught(canary: Canary) {
            let finding = Judges.firstFailure(canary)
            #expect(finding != nil, "\(canary) went unnoticed")
            if let finding { print("canary: \(canary) | \(finding)") }
        }

        @Test("the shipped policies pass every judge")
        func innocent() {
            #expect(Judges.firstFailure(nil) == nil)
        }
    }

    /// Whether a scene's promise held, and after how many events it was known.
    struct Outcome {
        var holds: Bool
        var events: Int

        init(_ holds: Bool, in world: World) { (self.holds, events) = (holds, world.eventCount) }
        init(_ holds: Bool, in harness: borrowing Harness) { (self.holds, events) = (holds, harness.eventCount) }
    }

    /// What a policy is judged by, cheapest first.
    enum Judges {
        static func firstFailure(_ canary: Canary?) -> String? {
            for (name, scene) in scenes {
                let outcome = scene(canary)
                if !outcome.holds { return "scene: \(name) (after \(outcome.events) events)" }
            }
            for model in models {
                var model = model
                model.canary = canary
                var explorer = Explorer(model, limit: 400_000)
                let report = explorer.run()
                if let last = report.violation.last {
                    return "checker, \(model.name): \(last) (after \(report.transitions) transitions, a trace of \(report.violation.count) steps)"
                }
                if report.longestToGood > model.bound {
                    return "checker, \(model.name): \(report.longestToGood) s to one link, the bound is \(model.bound) s (after \(report.transitions) transitions)"
                }
            }
            for seed in UInt64(1)...40 {
                let world = World(seed: seed)
                if let failure = chaos(world, seed, canary) { return "simulated, seed \(seed): \(failure) (after \(world.eventCount) events)" }
            }
            return nil
        }

        private static var models: [Model] {
            CheckSpace.two.models.filter { $0.crashes < 2 }
        }

        // A world of masternodes, random faults, then peace.
        private static func chaos(_ world: World, _ seed: UInt64, _ canary: Canary?) -> String? {
            let size = 2 + Int(seed % 4)
            let registry = (0..<size).map { World.endpoint($0) }
            for _ in 0..<size { world.add { $0.canary = canary } }
            world.startAll(registry: registry)
            let end = world.now + .seconds(900)
            while world.now < end {
                let node = Int(world.random.next(below: UInt64(size)))
                switch world.random.next(below: 5) {
                case 0 where world.nodes[node].isUp: world.kill(node, silently: world.random.next(below: 2) == 0)
                case 1 where !world.nodes[node].isUp, 2 where !world.nodes[node].isUp: world.restart(node, registry: registry)
                case 3: world.connections.last?.isSilent = true
                default: break
                }
                world.run(for: .milliseconds(world.random.next(below: 60_000)))
            }
            for node in 0..<size where !world.nodes[node].isUp { world.restart(node, registry: registry) }
            if let violation = world.violations.first { return violation }
            if !world.run(for: .seconds(460), until: { world.isWhole }) { return "not whole after 460 s of peace" }
            world.run(for: .seconds(600))
            return world.violations.first ?? (world.isWhole ? nil : "not whole any more")
        }

        // Scenes: one promise each.
        private static let scenes: [(String, @Sendable (Canary?) -> Outcome)] = [
            ("simultaneous dials leave one link", simultaneousDials), ("a frozen masternode is found within 90 s", frozen),
            ("a ghost is replaced within the probe's time", ghost), ("a dead masternode is dialled 9 to 16 times an hour", dormant),
            ("who accepts and closes is not dialled 40 times in an hour", acceptThenClose),
            ("every masternode of the table is linked", wholeTable), ("an old generation changes nothing", oldGeneration),
            ("two strangers who say nothing take no slot", silentStrangers), ("an outage of ours is not theirs", ownOutage),
            ("a promotion is recounted", promotion),
        ]

        private static func pair(_ canary: Canary?, _ role: Role = .masternode) -> World {
            let world = World(seed: 11)
            for _ in 0..<2 { world.add(role: role) { $0.canary = canary } }
            return world
        }

        private static let both = [World.endpoint(0), World.endpoint(1)]

        private static func simultaneousDials(_ canary: Canary?) -> Outcome {
            let world = pair(canary, .regular)
            world.tell(0, .connect(both[1]))
            world.tell(1, .connect(both[0]))
            world.startAll(registry: [])
            world.run(for: .seconds(3))
            guard world.links(0, 1) == 1 else { return Outcome(false, in: world) }
            world.run(for: .seconds(100))
            return Outcome(world.links(0, 1) == 1 && world.connections.count == 2 && world.violations.isEmpty, in: world)
        }

        private static func frozen(_ canary: Canary?) -> Outcome {
            let world = pair(canary)
            world.startAll(registry: both)
            guard world.run(for: .seconds(60), until: { world.isWhole }) else { return Outcome(false, in: world) }
            world.nodes[1].isFrozen = true
            return Outcome(world.run(for: .seconds(90), until: { world.nodes[0].downs == [.keepaliveTimeout] }), in: world)
        }

        private static func ghost(_ canary: Canary?) -> Outcome {
            let world = pair(canary)
            world.startAll(registry: both)
            guard world.run(for: .seconds(60), until: { world.isWhole }) else { return Outcome(false, in: world) }
            world.run(for: .seconds(120))
            world.kill(0, silently: true)
            world.restart(0, registry: both)
            return Outcome(world.run(for: .seconds(7), until: { world.isWhole }), in: world)
        }

        private static func dormant(_ canary: Canary?) -> Outcome {
            let world = pair(canary)
            world.add(role: .regular)
            world.kill(1)
            world.startAll(registry: both)
            world.run(for: .seconds(86_400))
            let before = world.connections.count { $0.ends[0].node == 0 && $0.to == both[1] }
            world.run(for: .seconds(3_600))
            return Outcome((9...16).contains(world.connections.count { $0.ends[0].node == 0 && $0.to == both[1] } - before), in: world)
        }

        private static func acceptThenClose(_ canary: Canary?) -> Outcome {
            var h = Harness(started: false) { $0.canary = canary }
            _ = h.tell(.registered(peer(1)))
            var actions = h.tell(.start)
            var dials = 0
            let end = h.now + .seconds(3_600)
            while h.now < end, dials < 1_000 {
                for case .dial(let link, _) in actions {
                    dials += 1
                    _ = h.tell(.connected(link))
                    _ = h.tell(.ended(link, .remoteClosed))
                }
                actions = h.wait(.milliseconds(500))
            }
            return Outcome(dials < 40, in: h)
        }

        private static func wholeTable(_ canary: Canary?) -> Outcome {
            let world = World(seed: 5)
            let registry = (0..<7).map { World.endpoint($0) }
            for _ in 0..<7 { world.add { $0.canary = canary; $0.maxPeers = 8; $0.reservedSlots = 3 } }
            world.startAll(registry: registry)
            return Outcome(world.run(for: .seconds(90), until: { world.isWhole }), in: world)
        }

        private static func oldGeneration(_ canary: Canary?) -> Outcome {
            var h = Harness { $0.canary = canary }
            guard let link = h.inbound(peer: peer(1)).0 else { return Outcome(false, in: h) }
            return Outcome(h.tell(.ended(LinkID(slot: link.slot, generation: link.generation &- 1), .remoteClosed)) == [], in: h)
        }

        private static func silentStrangers(_ canary: Canary?) -> Outcome {
            var h = Harness { $0.canary = canary; $0.maxPeers = 3; $0.reservedSlots = 1 }
            _ = h.accept(from: peer(7))
            _ = h.accept(from: peer(8))
            return Outcome(h.inbound(peer: peer(1)).1 == .accepted, in: h)
        }

        private static func ownOutage(_ canary: Canary?) -> Outcome {
            var h = Harness(started: false) { $0.canary = canary }
            _ = h.tell(.registered(peer(1)))
            _ = h.tell(.start)
            for _ in 0..<40 { _ = h.wait(.seconds(15)) }
            return Outcome(h.failures(peer(1)) == 0, in: h)
        }

        private static func promotion(_ canary: Canary?) -> Outcome {
            var h = Harness { $0.canary = canary }
            _ = h.inbound(peer: peer(1))
            h.mesh.handle(.registered(peer(1)), at: h.now)
            return Outcome(h.mesh.brokenInvariant(at: h.now) == nil, in: h)
        }
    }
#endif
