// The current task, as a wait asks for it.

/// Which task this is, and whether it is cancelled.
enum CurrentTask {
    /// Names the task as long as it lives; 0 outside of tasks.
    @inline(__always)
    static var id: UInt {
        unsafe withUnsafeCurrentTask { task in
            guard let task = unsafe task else { return 0 }
            return unsafe unsafeBitCast(task, to: UInt.self)
        }
    }

    @inline(__always)
    static var isCancelled: Bool { Task.isCancelled }
}
