// The current task, as those who own tasks know it.

/// Which task this is.
enum CurrentTask {
    /// Names the task as long as it lives: the address of its job. 0 outside of tasks.
    static var id: UInt {
        unsafe withUnsafeCurrentTask { task in
            guard let task = unsafe task else { return 0 }
            return unsafe unsafeBitCast(task, to: UInt.self)
        }
    }
}
