// The bounds of one loop, in one value. docs/Budgets.md says what follows from them.

public import Timers

extension EventLoop {
    /// How much a loop can hold, and how much it does in one iteration before it looks at the rest.
    public struct Configuration: Hashable, Sendable {
        /// Descriptors at once. The table is reserved at init and touched as it fills.
        public var descriptorCapacity = 20_000
        /// Timers at once.
        public var timerCapacity = 20_000
        /// Jobs that wait in the mailbox at most; a power of two.
        public var mailboxCapacity = 4_096
        /// Readiness events taken in one iteration. What is left stays ready in the kernel.
        public var eventsPerIteration = 256
        /// Posted jobs delivered in one iteration, and as many of tasks. What is left stays in the ring.
        public var jobsPerIteration = 1_024
        /// Timers fired in one iteration. What is left stays in the wheel's fired list.
        public var timersPerIteration = 1_024
        /// How long an iteration may last before its phases are cut short. The clock is looked at every 64 calls, or once a call
        /// said that it did much (`EventLoop.charge`), and each phase gets so far in any case. What is left is the next
        /// iteration's, each phase where it stopped. Flush and close are not cut: they are bounded by what was written.
        public var timePerIteration = Nanoseconds.milliseconds(5)

        /// The defaults.
        public init() {}
    }
}
