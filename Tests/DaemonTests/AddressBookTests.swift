import PeerMesh
import Testing
import Timers

@testable import Daemon

@Suite("The address book that is kept")
struct AddressBookTests {
    private let now = WallTime(milliseconds: 1_800_000_000_000)
    private let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)

    /// The `index`-th address of many, each of a /16 of its own.
    private func scattered(_ index: Int) -> Endpoint {
        Endpoint(IPAddress(v4: UInt32(truncatingIfNeeded: (index * 65_537 + 16_777_216) & 0xdfff_ffff)), port: 24_000)
    }

    @Test("SipHash-2-4 gives its authors' values")
    func sipHash() {
        #expect(SipHash.hash(key, 0x0706_0504_0302_0100) == 0x93f5_f579_9a93_2462)
    }

    @Test("one source of very many addresses reaches a sixteenth of the book and no address that worked")
    func flood() {
        var book = AddressBook(key: key)
        let good = (0..<200).map { scattered($0 * 7 + 3) }
        for endpoint in good {
            book.heard(endpoint, from: endpoint.address, at: now)
            book.linked(endpoint, at: now)
            book.unlinked(endpoint, "shutdown", at: now)
        }
        let before = book.triedCount
        #expect(before > 190, "two addresses seldom want one place")
        // One /16 tells of addresses all over the world.
        for index in 0..<30_000 {
            let source = IPAddress(v4: 203 << 24 | 7 << 16 | UInt32(index & 0xffff))
            book.heard(Endpoint(IPAddress(v4: UInt32(truncatingIfNeeded: index &* 2_654_435_761)), port: 1), from: source, at: now)
        }
        let reached = AddressBook.newBucketsPerSource * AddressBook.bucketSize
        #expect(book.count - before <= Int(reached) + 10)
        #expect(book.triedCount == before)
        // And another source still finds room.
        let told = book.count
        for index in 0..<200 { book.heard(scattered(index * 31 + 1), from: IPAddress(v4: 198 << 24 | 51 << 16), at: now) }
        #expect(book.count - told > 150)
    }

    @Test("one source fills a quarter of the running book at once, and one row a minute then, however many links it opens")
    func gate() {
        var gate = IntakeGate(key: 7, capacity: 4_096)
        var now = Instant(nanoseconds: 1_000_000_000_000)
        func taken(_ count: Int) -> Int {
            var taken = 0
            for index in 0..<count where gate.admits(IPAddress(v4: 203 << 24 | 7 << 16 | UInt32(index & 0xffff)), at: now) { taken += 1 }
            return taken
        }
        #expect(taken(20_000) == 1_024)
        now = now + .seconds(600)
        #expect(taken(100) == 10)
        let isOtherHeldBack = !gate.admits(IPAddress(v4: 198 << 24), at: now)
        #expect(!isOtherHeldBack)
    }

    @Test("working addresses of one group take eight of 64 buckets at most")
    func triedGroup() {
        var book = AddressBook(key: key)
        for index in 0..<4_000 {
            let endpoint = Endpoint(IPAddress(v4: 203 << 24 | 7 << 16 | UInt32(index)), port: 1)
            book.linked(endpoint, at: now)
        }
        #expect(book.triedCount <= Int(AddressBook.triedBucketsPerGroup * AddressBook.bucketSize))
    }

    @Test("who works is not pushed out by who worked later, but by who works when it no longer does")
    func testBeforeEvict() throws {
        var book = AddressBook(key: key)
        var byPlace: [UInt64: Endpoint] = [:]
        var pair: (Endpoint, Endpoint)?
        for index in 0..<20_000 where pair == nil {
            let endpoint = scattered(index)
            if let other = byPlace.updateValue(endpoint, forKey: book.triedPlace(endpoint)), book.newPlace(other, other.address) != book.newPlace(endpoint, endpoint.address) {
                pair = (other, endpoint)
            }
        }
        let (old, new) = try #require(pair)
        book.linked(old, at: now)
        book.unlinked(old, "remoteClosed", at: now)
        book.linked(new, at: now)
        #expect(book.entries[old]?.isTried == true && book.entries[new]?.isTried == false)
        let later = WallTime(milliseconds: now.milliseconds + 25 * 3_600_000)
        book.linked(new, at: later)
        #expect(book.entries[old]?.isTried == false && book.entries[new]?.isTried == true)
    }

    @Test("what is written and read back is the same book")
    func restore() {
        var book = AddressBook(key: key)
        for index in 0..<500 {
            book.heard(scattered(index), from: scattered(index / 50).address, at: now)
            if index % 3 == 0 { book.dialled(scattered(index), at: now) }
            if index % 6 == 0 { book.linked(scattered(index), at: now) }
            if index % 9 == 0 { book.failed(scattered(index), "refused", at: now) }
        }
        var again = AddressBook(key: key)
        for entry in book.entries.values { again.restore(entry) }
        #expect(again.entries == book.entries)
        #expect(again.triedCount == book.triedCount)
        #expect(again.changed.isEmpty, "what was read needs no writing")
    }

    @Test("who was linked at the end comes first, longest first; who is forgotten does not come")
    func recalled() {
        var book = AddressBook(key: key)
        for index in 0..<300 { book.heard(scattered(index), from: scattered(index).address, at: now) }
        let known = book.entries.keys.sorted()
        for (step, endpoint) in known.prefix(5).enumerated() { book.linked(endpoint, at: WallTime(milliseconds: now.milliseconds - Int64(step))) }
        for endpoint in known[5..<20] {
            book.linked(endpoint, at: now)
            book.unlinked(endpoint, "remoteClosed", at: now)
        }
        book.forgotten(known[30], until: now + .seconds(60))
        let recalled = book.recalled(limit: 100, at: now).map(\.endpoint)
        #expect(Array(recalled.prefix(5)) == known.prefix(5).reversed())
        #expect(Set(recalled).count == 100 && !recalled.contains(known[30]))
        #expect(Set(known[5..<20]).isSubset(of: Set(recalled)), "half of the rest is tried ones")
        #expect(book.tombstones(at: now).map(\.endpoint) == [known[30]])
        let later = now + .seconds(61)
        #expect(book.tombstones(at: later).isEmpty)
    }
}
