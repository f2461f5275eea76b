// Which pairs of masternodes should have a link, how many they have, and since when they lack one. The world tells what
// it sees at both ends; nothing here asks a mesh.

/// Every pair of masternodes, once.
struct PairTable: ~Copyable {
    let size: Int
    /// Links that are established at both ends.
    private var links: Table<UInt8>
    /// Since when the pair should have a link and has none; -1 if it has one or should have none.
    private var since: Table<Int32>
    private var expected: Table<Bool>
    private var registered: [Bool]
    private(set) var missing = 0
    private(set) var expectedCount = 0
    private(set) var standing = 0
    private(set) var maximum = 0

    init(size: Int) {
        self.size = size
        links = Table(reserving: size * size)
        since = Table(reserving: size * size)
        expected = Table(reserving: size * size)
        for _ in 0..<size * size {
            links.append(0)
            since.append(-1)
            expected.append(false)
        }
        registered = [Bool](repeating: true, count: size)
    }

    private func place(_ a: Int, _ b: Int) -> Int { a < b ? a * size + b : b * size + a }

    func isRegistered(_ node: Int) -> Bool { registered[node] }

    mutating func setRegistered(_ node: Int, _ isRegistered: Bool) {
        registered[node] = isRegistered
    }

    func links(_ a: Int, _ b: Int) -> Int { Int(links[place(a, b)]) }
    func isExpected(_ a: Int, _ b: Int) -> Bool { expected[place(a, b)] }
    func missingSince(_ a: Int, _ b: Int) -> Int { Int(since[place(a, b)]) }

    /// A link more or less. Returns how long the pair was without, if this ends it.
    mutating func change(_ a: Int, _ b: Int, by step: Int, at now: Int) -> Int? {
        let place = place(a, b)
        let before = Int(links[place])
        links[place] = UInt8(min(max(before + step, 0), 255))
        maximum = max(maximum, before + step)
        if before == 0, step > 0 { standing += 1 }
        if before == 1, step < 0 { standing -= 1 }
        guard expected[place] else { return nil }
        if links[place] > 0, since[place] >= 0 {
            let span = now - Int(since[place])
            since[place] = -1
            missing -= 1
            return span
        }
        if links[place] == 0, since[place] < 0 {
            since[place] = Int32(now)
            missing += 1
        }
        return nil
    }

    /// The faults between the pair have changed: what is missing counts from now.
    mutating func expect(_ a: Int, _ b: Int, _ isExpected: Bool, at now: Int) {
        let place = place(a, b)
        if since[place] >= 0 {
            since[place] = -1
            missing -= 1
        }
        if expected[place] != isExpected { expectedCount += isExpected ? 1 : -1 }
        expected[place] = isExpected
        if isExpected, links[place] == 0 {
            since[place] = Int32(now)
            missing += 1
        }
    }
}
