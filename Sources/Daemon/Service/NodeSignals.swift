// What each signal does to a node. docs/Operating.md has the table; what is not named here keeps the kernel's effect.

import Glibc
import Reactor

enum NodeSignals {
    /// The node drains its links and ends. The second of the first two ends it at once.
    static let ends: [CInt] = [SIGTERM, SIGINT, SIGPWR, SIGXCPU]
    /// Settings and registry are read again.
    static let reload = SIGHUP
    /// No effect but a line in the log: senders take them for something that other programs do.
    static let told: [CInt] = [SIGUSR1, SIGUSR2, SIGALRM]
    /// No effect at all. SIGPIPE: a log whose reader went away must not end the links. SIGXFSZ: a file that may not grow is a full
    /// disk. SIGTTIN, SIGTTOU: a terminal that is another's must not stop the node.
    private static let ignored: [CInt] = [SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU, SIGVTALRM, SIGPROF, SIGIO, SIGSTKFLT]

    /// What the loop watches.
    static var watched: [CInt] { ends + told + [reload] }

    /// Keeps watched signals for the loop, from the calling thread and those that it starts; the rest get their effects. To be
    /// called before any thread is started.
    static func claim() throws(DaemonError) {
        do throws(SystemError) {
            try EventLoop.blockSignals(watched)
        } catch {
            throw DaemonError.system("cannot block signals (\(error.call.rawValue))", error.code)
        }
        for number in ignored { ignore(number) }
        for number in __libc_current_sigrtmin()...__libc_current_sigrtmax() { ignore(number) }
    }

    /// What somebody else in this process handles, a profiler for one, stays theirs.
    private static func ignore(_ number: CInt) {
        var current = sigaction()
        guard unsafe sigaction(number, nil, &current) == 0, unsafe current.__sigaction_handler.sa_handler == nil else { return }
        _ = signal(number, SIG_IGN)
    }

    /// As operators type it.
    static func name(_ signal: CInt) -> String {
        switch signal {
        case SIGTERM: "SIGTERM"
        case SIGINT: "SIGINT"
        case SIGHUP: "SIGHUP"
        case SIGPWR: "SIGPWR"
        case SIGXCPU: "SIGXCPU"
        case SIGUSR1: "SIGUSR1"
        case SIGUSR2: "SIGUSR2"
        case SIGALRM: "SIGALRM"
        default: "\(signal)"
        }
    }
}
