// Dates in answers: what operators may ask for, to the end of its range.

import Testing
import Timers

@testable import Daemon

@Suite("dates in answers")
struct MomentsTests {
    @Test("a time is written in UTC with milliseconds, however far away it is", arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_709_251_199_999, "2024-02-29T23:59:59.999Z"), (1_795_472_209_121, "2026-11-23T22:16:49.121Z"),
        // In nanoseconds this one would not fit into a word: a ban for five million hours ends there.
        (19_796_314_331_266, "2597-04-27T00:12:11.266Z"), (-1, "1970-01-01T00:00:00.000Z"),
    ] as [(Int64, String)])
    func texts(milliseconds: Int64, text: String) {
        #expect(Moments.json(WallTime(milliseconds: milliseconds)) == .string(text))
    }

    @Test("no time is too late to be written")
    func latest() {
        #expect(Moments.json(WallTime(milliseconds: .max)).text?.hasSuffix("Z") == true)
        #expect(Moments.json(WallTime?.none) == .null)
    }
}
