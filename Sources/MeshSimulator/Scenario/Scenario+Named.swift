// The named scenarios: each a few steps, for any number of nodes. The times of the steps are fixed, so that a longer run
// only watches longer.

extension Scenario {
    public static let names = [
        "cold-start", "rolling-restart", "datacentre-lost", "split-halves", "one-way-walls", "flapping", "hello-liars", "book-poisoning",
        "thundering-return", "slot-capture", "reflection",
    ]

    /// Fills in groups and steps of the named scenario; false if there is none of that name.
    public mutating func become(_ name: String) -> Bool {
        let minute = 60_000
        self.name = name
        groups = []
        steps = []
        switch name {
        case "cold-start": break
        case "rolling-restart":
            steps = [Step(at: 10 * minute, .roll("all", down: 20_000, over: 20 * minute))]
        case "datacentre-lost":
            groups = [Group("lost", .percent(30))]
            steps = [
                Step(at: 10 * minute, .crash("lost", silently: true)),
                Step(at: 20 * minute, .restart("lost", keepsBook: true, over: 1_000)),
            ]
        case "split-halves":
            groups = [Group("half", .percent(50))]
            steps = [
                Step(at: 5 * minute, .wall("half", "!half", isTwoWay: true, onlyDials: false)),
                Step(at: 65 * minute, .open),
            ]
        case "one-way-walls": makeOneWayWalls(minute)
        case "flapping":
            groups = [Group("flappers", .percent(5))]
            steps = [
                Step(at: 5 * minute, .flap("flappers", up: 40_000, down: 20_000)),
                Step(at: 35 * minute, .calm("flappers")),
            ]
        case "hello-liars":
            groups = [Group("liars", .percent(5)), Group("copiers", .percent(5))]
            steps = [
                Step(at: 0, .lie("liars", .endpoint)), Step(at: 0, .lie("copiers", .nonce)),
                Step(at: 10 * minute, .reset(100_000)), Step(at: 25 * minute, .silence(100_000)),
            ]
        case "book-poisoning":
            groups = [Group("poisoners", .percent(5)), Group("hidden", .percent(20), of: .regular)]
            steps = [
                Step(at: 0, .lie("poisoners", .peers)), Step(at: 0, .nat("hidden")),
                Step(at: 15 * minute, .reset(200_000)),
                Step(at: 25 * minute, .crash("hidden", silently: false)),
                Step(at: 26 * minute, .restart("hidden", keepsBook: false, over: 10_000)),
            ]
        case "reflection":
            groups = [Group("liars", .percent(10))]
            steps = [Step(at: 0, .lie("liars", .ports)), Step(at: 10 * minute, .reset(100_000))]
        case "thundering-return":
            groups = [Group("spared", .percent(2))]
            steps = [
                Step(at: 10 * minute, .crash("!spared", silently: true)),
                Step(at: 30 * minute, .restart("!spared", keepsBook: true, over: 0)),
            ]
        case "slot-capture": makeSlotCapture(minute)
        default: return false
        }
        outlastSteps()
        return true
    }

    /// A run goes on for a quarter of an hour after its last step.
    mutating func outlastSteps() {
        if let last = steps.last { duration = max(duration, last.at + 900_000) }
    }

    /// Nearly half of the regular nodes want a link to everybody, from one address, from one /16 and from many nets. Meanwhile others, and a
    /// fifth of the masternodes, come anew.
    private mutating func makeSlotCapture(_ minute: Int) {
        groups = [
            Group("one", .percent(10), of: .regular), Group("crowd", .percent(20), of: .regular), Group("many", .percent(20), of: .regular),
            Group("late", .percent(10), of: .regular), Group("renewed", .percent(20), of: .masternodes),
        ]
        steps = [
            Step(at: 0, .source("one", .address)), Step(at: 0, .source("crowd", .net)), Step(at: 0, .source("many", .nets)),
            Step(at: 5 * minute, .lie("one", .slots)), Step(at: 5 * minute, .lie("crowd", .slots)), Step(at: 5 * minute, .lie("many", .slots)),
            Step(at: 10 * minute, .crash("late", silently: false)),
            Step(at: 20 * minute, .restart("late", keepsBook: false, over: 60_000)),
            Step(at: 25 * minute, .roll("renewed", down: 5_000, over: minute)),
            Step(at: 35 * minute, .reset(200_000)),
        ]
    }

    /// Walls that let only one side dial, a cut in one direction, frozen processes and leaping clocks.
    private mutating func makeOneWayWalls(_ minute: Int) {
        groups = [Group("left", .percent(40)), Group("right", .percent(40)), Group("odd", .percent(10))]
        steps = [
            Step(at: 0, .wall("left", "!left", isTwoWay: false, onlyDials: true)),
            Step(at: 10 * minute, .reset(500_000)),
            Step(at: 20 * minute, .open),
            Step(at: 20 * minute, .wall("right", "left", isTwoWay: false, onlyDials: false)),
            Step(at: 30 * minute, .open),
            Step(at: 30 * minute, .freeze("odd")),
            Step(at: 33 * minute, .thaw("odd")),
            Step(at: 40 * minute, .jump("odd", 600_000)),
            Step(at: 41 * minute, .slow("odd", 4_000)),
            Step(at: 45 * minute, .slow("odd", 0)),
        ]
    }
}
