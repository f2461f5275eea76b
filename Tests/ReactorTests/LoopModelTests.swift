// Random operations on a loop over real descriptors, against a plain model of what must be told and what must not. The oracle of
// readiness is poll(2) on the same descriptors. In a process of its own: it forks, and counts descriptors.
//
//   REACTOR_LOOP_OPERATIONS=1000000    how many (scripts/full and scripts/sanitize); REACTOR_LOOP_SEED=7    another sequence

import CEpoll
import CTestSupport
import Glibc
import Testing
import Timers

@testable import Reactor

@Suite("Event loop: against a model", .ownThread)
struct LoopModelTests {
    @Test("whatever is added, removed, added again, armed, closed and forked, in callbacks or not: no trap, no leak, no stale callback, nothing missed")
    func random() async {
        // A failed check exits like a success, with its reason: of another status the standard error is not handed on.
        let result = await #expect(processExitsWith: .exitCode(42), observing: [\.standardErrorContent]) {
            let operations = number("REACTOR_LOOP_OPERATIONS") ?? 20_000
            let (sockets, others) = (openDescriptors("socket:"), openDescriptors("anon_inode:"))
            var model = LoopWorld.Totals()
            let seed = number("REACTOR_LOOP_SEED") ?? 1
            // A loop finds an open file that lives on once; a new loop begins without the knowledge.
            let lives = max(4, operations / 5_000)
            for life in 0..<lives {
                let world = try LoopWorld(seed: UInt64(seed) << 32 | UInt64(life))
                for _ in 0..<(operations / lives) { world.step() }
                world.finish()
                model.add(world.totals)
            }
            guard Probe.alive == 0 else { fail("\(Probe.alive) sources were never released") }
            guard openDescriptors("socket:") == sockets else { fail("\(openDescriptors("socket:") - sockets) sockets were left open") }
            // The runtime's own threads open an epoll and an eventfd at some time. What a loop leaves open is one for each life, at least.
            let left = openDescriptors("anon_inode:") - others
            guard left < lives else { fail("\(left) descriptors of loops were left open") }
            say("\(model)")
            exit(42)
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(!text.contains("failed: "), "\(text)")
        print(text, terminator: "")
    }
}

private func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

private func fail(_ text: String) -> Never {
    say("failed: \(text)")
    exit(42)
}

private func say(_ text: String) {
    let line = Array("loop model: \(text)\n".utf8)
    _ = write(2, line, line.count)
}

/// How many open descriptors are of this kind, by the beginning of what /proc/self/fd says of them.
private func openDescriptors(_ kind: String) -> Int {
    guard let folder = opendir("/proc/self/fd") else { fail("cannot read /proc/self/fd") }
    defer { closedir(folder) }
    var count = 0
    var target = [UInt8](repeating: 0, count: 256)
    while let entry = readdir(folder) {
        let length = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { readlinkat(dirfd(folder), $0, &target, target.count) }
        }
        if length > 0, String(decoding: target[..<length], as: UTF8.self).hasPrefix(kind) { count += 1 }
    }
    return count
}

/// A source that the loop alone keeps alive: the world knows its number.
private final class Probe: Source {
    nonisolated(unsafe) static var alive = 0
    let number: Int
    private unowned let world: LoopWorld

    init(_ number: Int, _ world: LoopWorld) {
        self.number = number
        self.world = world
        Self.alive += 1
    }

    deinit {
        Self.alive -= 1
        world.released(number)
    }

    override func ready(_ readiness: Readiness, tag: UInt32) { world.ready(readiness, tag, self) }
    override func timerFired(tag: UInt32) { world.fired(tag, self) }
    override func posted(_ job: Job) { world.posted(job, self) }
    override func flush() { world.flushed(self) }
    override func reap() { world.reaped(self) }
}

/// The loop under test, its descriptors, and what is known of them.
private final class LoopWorld {
    struct Totals {
        var operations = 0, ready = 0, fired = 0, posted = 0, settled = 0, stale: UInt64 = 0, rebuilds: UInt64 = 0, forks = 0
        mutating func add(_ other: Totals) {
            operations += other.operations
            ready += other.ready
            fired += other.fired
            posted += other.posted
            settled += other.settled
            stale += other.stale
            rebuilds += other.rebuilds
            forks += other.forks
        }
    }

    /// One connected pair of sockets.
    struct Place {
        var near: CInt = -1
        var far: CInt = -1
        var registration: Registration?
    }

    struct Registration {
        var slot: SlotID
        var tag: UInt32
        var owner: Int
        var wanted: Interest
    }

    struct Clock {
        var id: TimerID
        var owner: Int
        var deadline: Instant?
    }

    struct Letter {
        var handle: SourceHandle
        var owner: Int
    }

    let loop: EventLoop
    private var random: SplitMix
    private(set) var totals = Totals()
    private var places = [Place](repeating: Place(), count: 24)
    /// By tag; what is over is not here.
    private var timers: [UInt32: Clock] = [:]
    private var letters: [Letter] = []
    /// Owners by number; a source that only the loop keeps is found here while it lives.
    private var owners: [Int: Unmanaged<Probe>] = [:]
    /// How many descriptors, timers and handles each owner has.
    private var uses: [Int: Int] = [:]
    private var askedToFlush: Set<Int> = []
    private var askedToReap: Set<Int> = []
    private var held: [CInt] = []
    private var children: [pid_t] = []
    private var oldSlots: [SlotID] = []
    private var oldTimers: [TimerID] = []
    private var nextTag: UInt32 = 0
    private var nextOwner = 0
    private var depth = 0
    /// While it settles, callbacks only note what they are told.
    private var toldWhileSettling: Set<UInt32>?
    private var expectedPosts: [Int: Int] = [:]
    private var removals: UInt64 = 0

    init(seed: UInt64) throws {
        var configuration = EventLoop.Configuration()
        configuration.descriptorCapacity = 400
        configuration.timerCapacity = 400
        loop = try EventLoop(configuration)
        random = SplitMix(state: seed)
    }

    private func draw(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    private func draw<Element>(of elements: [Element]) -> Element? { elements.isEmpty ? nil : elements[draw(elements.count)] }

    // MARK: One operation

    func step() {
        operate()
        if draw(3) == 0 { loop.runOnce(.noWait) }
        if draw(16) == 0 { settle() }
    }

    private func operate() {
        totals.operations += 1
        let index = draw(places.count)
        switch draw(100) {
        case 0..<12: open(index)
        case 12..<26: add(index)
        case 26..<32: remove(index)
        case 32..<38: removeAndClose(index)
        case 38..<46: addAgain(index)
        case 46..<58: setInterest(index)
        case 58..<68: stir(index)
        case 68..<72: makeTimer()
        case 72..<80: arm()
        case 80..<84: endTimer()
        case 84..<86: useOldIDs()
        case 86..<89: failToAdd(index)
        case 89..<91: post()
        case 91..<93: makeOrWithdrawHandle()
        case 93..<95: ask()
        case 95..<97: hold(index)
        case 97..<99: letGo()
        default: forkOrReap()
        }
    }

    private func open(_ index: Int) {
        guard places[index].near < 0 else { return }
        var (near, far): (CInt, CInt) = (-1, -1)
        guard cepoll_pair(&near, &far) == 0 else { fail("no socket pair") }
        places[index] = Place(near: near, far: far)
    }

    private func add(_ index: Int) {
        guard places[index].near >= 0, places[index].registration == nil else { return }
        register(index)
    }

    private func register(_ index: Int) {
        nextTag &+= 1
        let wanted = Interest(rawValue: UInt8(draw(4)))
        let (number, source) = owner()
        do throws(SystemError) {
            let slot = try loop.add(places[index].near, interest: wanted, source: source, tag: nextTag)
            places[index].registration = Registration(slot: slot, tag: nextTag, owner: number, wanted: wanted)
            uses[number, default: 0] += 1
        } catch {
            fail("add of a fresh descriptor: \(error)")
        }
    }

    /// An owner that lives, or a new one.
    private func owner() -> (Int, Probe) {
        if draw(3) > 0, let number = draw(of: uses.keys.sorted()), let known = owners[number] { return (number, known.takeUnretainedValue()) }
        nextOwner += 1
        let probe = Probe(nextOwner, self)
        owners[nextOwner] = Unmanaged.passUnretained(probe)
        return (nextOwner, probe)
    }

    private func unuse(_ number: Int) {
        uses[number]! -= 1
        if uses[number] == 0 { uses[number] = nil }
    }

    private func remove(_ index: Int) {
        guard let registration = places[index].registration else { return }
        forget(index)
        loop.remove(registration.slot)
    }

    private func forget(_ index: Int) {
        guard let registration = places[index].registration else { return }
        places[index].registration = nil
        oldSlots.append(registration.slot)
        if oldSlots.count > 64 { oldSlots.removeFirst() }
        unuse(registration.owner)
        removals += 1
    }

    private func removeAndClose(_ index: Int) {
        guard places[index].near >= 0 else { return }
        if let registration = places[index].registration {
            forget(index)
            loop.remove(registration.slot, staysOpen: draw(4) == 0)
        }
        _ = cepoll_close(places[index].near)
        if places[index].far >= 0 { _ = cepoll_close(places[index].far) }
        places[index] = Place()
    }

    private func addAgain(_ index: Int) {
        guard let registration = places[index].registration else { return }
        forget(index)
        loop.remove(registration.slot, staysOpen: draw(4) > 0)
        register(index)
    }

    private func setInterest(_ index: Int) {
        guard let registration = places[index].registration else { return }
        let wanted = Interest(rawValue: UInt8(draw(4)))
        loop.setInterest(registration.slot, wanted)
        places[index].registration?.wanted = wanted
    }

    /// Something happens at the descriptor: bytes come or are taken, a side ends.
    private func stir(_ index: Int) {
        let place = places[index]
        guard place.near >= 0 else { return }
        switch draw(8) {
        case 0...3: if place.far >= 0 { _ = cepoll_send(place.far, "x", 1) }
        case 4, 5:
            var bytes = [UInt8](repeating: 0, count: 64)
            _ = cepoll_recv(place.near, &bytes, bytes.count)
        case 6: if place.far >= 0 { _ = cepoll_shutdown_send(place.far) }
        default:
            if place.far >= 0 { _ = cepoll_close(place.far) }
            places[index].far = -1
        }
    }

    private func makeTimer() {
        guard timers.count < 16 else { return }
        nextTag &+= 1
        let (number, source) = owner()
        guard let id = loop.makeTimerIfRoom(source: source, tag: nextTag) else { return }
        timers[nextTag] = Clock(id: id, owner: number)
        uses[number, default: 0] += 1
    }

    private func arm() {
        guard let tag = draw(of: timers.keys.sorted()), let timer = timers[tag] else { return }
        if draw(5) == 0 {
            loop.cancel(timer.id)
            timers[tag]?.deadline = nil
        } else {
            let deadline = loop.now + Nanoseconds(UInt64(draw(3_000)) * 1_000)
            loop.arm(timer.id, at: deadline)
            timers[tag]?.deadline = deadline
        }
    }

    private func endTimer() {
        guard let tag = draw(of: timers.keys.sorted()), let timer = timers.removeValue(forKey: tag) else { return }
        oldTimers.append(timer.id)
        if oldTimers.count > 64 { oldTimers.removeFirst() }
        unuse(timer.owner)
        loop.destroy(timer.id)
    }

    private func useOldIDs() {
        let before = loop.counters.staleIDs
        var uses: UInt64 = 0
        if let slot = draw(of: oldSlots) {
            draw(2) == 0 ? loop.setInterest(slot, .write) : loop.remove(slot, staysOpen: draw(2) == 0)
            uses += 1
        }
        if let timer = draw(of: oldTimers) {
            draw(2) == 0 ? loop.arm(timer, at: .zero) : loop.destroy(timer)
            uses += 1
        }
        guard loop.counters.staleIDs - before == uses else { fail("an id that is over was taken for one in use") }
    }

    /// A regular file, or a descriptor that is there already: the loop refuses, and nothing else happens.
    private func failToAdd(_ index: Int) {
        let file = cepoll_reserve()
        defer { _ = cepoll_close(file) }
        // Not one whose hangup was taken out of epoll: there is nothing to collide with.
        let isTwice = places[index].registration.map { loop.state.slots[Int($0.slot.index)].stage == .registered } ?? false
        let (_, source) = owner()
        do throws(SystemError) {
            _ = try loop.add(isTwice ? places[index].near : file, interest: .read, source: source, tag: 0)
            fail("a second registration was taken")
        } catch {
            guard error.code == (isTwice ? CEPOLL_EEXIST : CEPOLL_EPERM) else { fail("a refused add: \(error)") }
        }
    }

    private func post() {
        guard let letter = draw(of: letters) else { return }
        guard loop.mailbox.post(Job(kind: UInt32(letter.owner)), to: letter.handle) == .posted else { fail("the mailbox is full") }
        expectedPosts[letter.owner, default: 0] += 1
    }

    private func makeOrWithdrawHandle() {
        if letters.count < 4 {
            let (number, source) = owner()
            letters.append(Letter(handle: loop.makeHandle(for: source), owner: number))
            uses[number, default: 0] += 1
        } else {
            let letter = letters.remove(at: draw(letters.count))
            unuse(letter.owner)
            // What waits for it is dropped: another handle of the same owner would be told of its own posts alone.
            loop.withdraw(letter.handle)
            expectedPosts[letter.owner] = nil
        }
    }

    private func ask() {
        let (number, source) = owner()
        if draw(2) == 0 {
            askedToFlush.insert(number)
            loop.requestFlush(source)
        } else {
            askedToReap.insert(number)
            loop.requestReap(source)
        }
    }

    /// Somebody else has the open file, too.
    private func hold(_ index: Int) {
        guard places[index].near >= 0, held.count < 8 else { return }
        held.append(dup(places[index].near))
    }

    private func letGo() {
        guard !held.isEmpty else { return }
        _ = cepoll_close(held.remove(at: draw(held.count)))
    }

    private func forkOrReap() {
        guard draw(20) == 0 else { return }
        if children.count == 2 { return reapChild() }
        totals.forks += 1
        let child = ctest_fork_holder()
        guard child > 0 else { fail("no child") }
        children.append(child)
    }

    private func reapChild() {
        guard let child = children.popLast() else { return }
        kill(child, SIGKILL)
        var status: CInt = 0
        while waitpid(child, &status, 0) != child {}
    }

    // MARK: What the loop says

    private func callback() {
        guard toldWhileSettling == nil, depth == 0 else { return }
        depth += 1
        for _ in 0..<draw(4) { operate() }
        depth -= 1
    }

    func ready(_ readiness: Readiness, _ tag: UInt32, _ source: Probe) {
        totals.ready += 1
        guard let registration = places.lazy.compactMap(\.registration).first(where: { $0.tag == tag }) else {
            fail("stale: readiness of tag \(tag), which was removed")
        }
        guard registration.owner == source.number else { fail("readiness of tag \(tag) reached another source") }
        guard !registration.wanted.isEmpty else { fail("tag \(tag) was told though nobody wants to hear") }
        guard !readiness.isEmpty else { fail("tag \(tag) was told nothing") }
        toldWhileSettling?.insert(tag)
        callback()
    }

    func fired(_ tag: UInt32, _ source: Probe) {
        totals.fired += 1
        guard let timer = timers[tag] else { fail("stale: timer \(tag), which was destroyed, fired") }
        guard timer.owner == source.number else { fail("timer \(tag) reached another source") }
        guard let deadline = timer.deadline else { fail("timer \(tag) fired, and was not armed") }
        guard deadline <= loop.now else { fail("timer \(tag) fired early") }
        timers[tag]?.deadline = nil
        callback()
    }

    func posted(_ job: Job, _ source: Probe) {
        totals.posted += 1
        guard Int(job.kind) == source.number, letters.contains(where: { $0.owner == source.number }) else { fail("a post reached another source") }
        expectedPosts[source.number, default: 1] -= 1
        callback()
    }

    func flushed(_ source: Probe) {
        guard askedToFlush.remove(source.number) != nil else { fail("flushed without being asked for") }
        callback()
    }

    func reaped(_ source: Probe) {
        guard askedToReap.remove(source.number) != nil else { fail("reaped without being asked for") }
        callback()
    }

    func released(_ number: Int) {
        owners[number] = nil
        guard uses[number] == nil else { fail("source \(number) was released with \(uses[number]!) uses left") }
    }

    // MARK: Checks

    /// With callbacks that do nothing: one iteration tells of exactly what poll(2) sees, and of every timer that is due; and only those
    /// sources live that have something on the loop.
    private func settle() {
        totals.settled += 1
        toldWhileSettling = []
        // What was carried over or listed, and what outlived its slot, is dealt with first.
        for _ in 0..<3 { loop.runOnce(.noWait) }
        toldWhileSettling = []
        loop.runOnce(.noWait)
        guard let told = toldWhileSettling else { return }
        toldWhileSettling = nil
        let expected = readyByPoll()
        guard told == expected else {
            fail("told of \(told.sorted()), poll says \(expected.sorted()) (missed \(expected.subtracting(told)), too much \(told.subtracting(expected)))")
        }
        if let late = timers.first(where: { ($0.value.deadline ?? .never) + .milliseconds(2) < loop.now }) { fail("timer \(late.key) did not fire") }
        guard askedToFlush.isEmpty, askedToReap.isEmpty else { fail("a request was forgotten") }
        guard expectedPosts.allSatisfy({ $0.value <= 0 }) else { fail("a post was forgotten: \(expectedPosts)") }
        expectedPosts = [:]
        guard Set(owners.keys) == Set(uses.keys) else { fail("alive: \(owners.keys.sorted()), in use: \(uses.keys.sorted())") }
        guard loop.descriptorCount == places.count(where: { $0.registration != nil }) else { fail("\(loop.descriptorCount) descriptors are registered") }
        guard loop.counters.failedControls == 0 else { fail("an epoll_ctl failed") }
    }

    private func readyByPoll() -> Set<UInt32> {
        let live = places.filter { $0.registration != nil }
        var entries = live.map { place in
            let wanted = place.registration!.wanted
            let events = (wanted.contains(.read) ? POLLIN : 0) | (wanted.contains(.write) ? POLLOUT : 0)
            return pollfd(fd: place.near, events: Int16(events), revents: 0)
        }
        guard poll(&entries, nfds_t(entries.count), 0) >= 0 else { fail("poll") }
        return Set(zip(live, entries).compactMap { place, entry in
            entry.revents != 0 && !place.registration!.wanted.isEmpty ? place.registration!.tag : nil
        })
    }

    func finish() {
        settle()
        for index in places.indices { removeAndClose(index) }
        for timer in timers.values {
            unuse(timer.owner)
            loop.destroy(timer.id)
        }
        for letter in letters {
            unuse(letter.owner)
            loop.withdraw(letter.handle)
        }
        toldWhileSettling = []
        for _ in 0..<4 { loop.runOnce(.noWait) }
        guard owners.isEmpty, uses.isEmpty else { fail("left at the end: \(owners.keys.sorted())") }
        while !children.isEmpty { reapChild() }
        for descriptor in held { _ = cepoll_close(descriptor) }
        totals.stale = loop.counters.staleEvents
        totals.rebuilds = loop.counters.rebuilds
        // Each removal can have one event in the batch at hand, and be found by two more.
        guard totals.stale <= removals * 3, totals.rebuilds <= 1 else { fail("\(totals.stale) stale events, \(totals.rebuilds) rebuilds") }
    }
}
