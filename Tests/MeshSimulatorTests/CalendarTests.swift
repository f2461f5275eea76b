import Testing

@testable import MeshSimulator

@Suite("The calendar")
struct CalendarTests {
    @Test("entries come out by time, and within a millisecond in the order in which they went in")
    func order() {
        var calendar = Calendar()
        var dice = Dice(seed: 5)
        var now = 1_000
        var expected: [(at: Int, payload: UInt64)] = []
        var taken: [UInt64] = []
        for round in 0..<20_000 as Range<UInt64> {
            let at = now + dice.roll(round % 7 == 0 ? Calendar.horizon : 300)
            var entry = Entry()
            entry.payload = round
            calendar.add(entry, at: at, now: now)
            expected.append((at, round))
            if round % 3 == 0, let next = calendar.next(from: now) {
                now = next
                let index = calendar.take(at: now)
                taken.append(calendar[index].payload)
                calendar.release(index)
            }
        }
        while let next = calendar.next(from: now) {
            #expect(next >= now)
            now = next
            let index = calendar.take(at: now)
            taken.append(calendar[index].payload)
            calendar.release(index)
        }
        #expect(calendar.pending == 0)
        #expect(taken.count == expected.count)
        var times: [Int] = []
        var order: [UInt64: Int] = [:]
        for item in expected { order[item.payload] = item.at }
        for payload in taken { times.append(order[payload]!) }
        #expect(times == times.sorted())
        for (earlier, later) in zip(taken, taken.dropFirst()) where order[earlier] == order[later] { #expect(earlier < later) }
    }
}
