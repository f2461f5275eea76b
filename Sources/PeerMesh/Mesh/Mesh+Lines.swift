// Where things lie, for a driver of many links or of many meshes: ten thousand of them do not fit into a cache, and an event waits
// for each line that it touches, one after the other. Asked for beforehand, for many events at once, the lines come side by side.
// Addresses are plain numbers here: to be asked for, never to be followed.

import CPrefetch
package import Timers

extension Mesh {
    /// Asks for the link whose timer is handed out next, while this one's is worked off.
    mutating func prefetchNextFired() {
        let next = wheel.nextFired
        if next >= 0, next < links.count { cprefetch(links.address(next), 2) }
    }

    /// Asks for what a byte, a ping or a pong on the link of this slot touches.
    package mutating func prefetchLink(_ slot: Int) {
        cprefetch(wheel.address(slot), 1)
        cprefetch(links.address(slot), 2)
    }

    /// The slot of the link that the action so many places behind the next one pings; -1 if it does something else, or there is none.
    package mutating func slotOfPing(behind distance: Int) -> Int {
        if case .ping(let id, _)? = actions.peek(distance) { Int(id.slot) } else { -1 }
    }

    /// Where the next `advance` begins to look; 0 if no timer is armed. One line.
    package var nextTimerAddress: UInt { wheel.nextUpAddress }

    /// The timer that the next `advance` begins with, or -1.
    package var nextTimer: Int { wheel.nextUp }

    /// Where this timer lies: one line.
    package func address(ofTimer timer: Int) -> UInt { wheel.address(timer) }

    /// Whether the timer fires at an `advance(to: now)`; false if it would only move.
    package func isDue(_ timer: Int, at now: Instant) -> Bool { wheel.isDue(timer, at: now) }

    /// Where an action will lie: one or two lines.
    package var actionAddress: UInt { actions.address }

    /// The row of the link of this slot, at which a keepalive that is due looks: one line. 0 if it has none.
    package func address(ofRowOfLink slot: Int) -> UInt {
        let row = Int(links[slot].row)
        return row >= 0 ? peers.address(row) : 0
    }
}
