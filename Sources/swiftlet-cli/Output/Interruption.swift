// Ctrl-C. The signal handler only writes a byte into a pipe; a thread reads it and does what is to be done.
import Foundation
import Synchronization

/// The writing end of the pipe: set once, before the handler is installed.
nonisolated(unsafe) private var interruptionPipe: Int32 = -1

/// What Ctrl-C does: by default it cancels the work and, when the work does not end soon, the process.
enum Interruption {
    private struct State {
        var cancel: @Sendable () -> Void = {}
        var override: (@Sendable () -> Void)?
        var isCancelled = false
        /// Time for work to end by itself, for example to remove half a download.
        var patience = 2.0
    }

    private static let state = Mutex(State())
    /// Catches Ctrl-C from now on.
    static func begin(cancel: @escaping @Sendable () -> Void) {
        state.withLock { $0.cancel = cancel }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        interruptionPipe = ends[1]
        let readingEnd = ends[0]
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = read(readingEnd, &byte, 1)
                if count == 1 { interrupt() } else if count == 0 || errno != EINTR { return }
            }
        }
        var action = sigaction()
        let handler: @convention(c) (Int32) -> Void = { _ in
            var byte: UInt8 = 1
            let saved = errno
            _ = write(interruptionPipe, &byte, 1)
            errno = saved
        }
        #if canImport(Glibc)
            action.__sigaction_handler.sa_handler = handler
        #else
            action.__sigaction_u.__sa_handler = handler
        #endif
        // A line that is being typed is not an error because of the signal.
        action.sa_flags = Int32(SA_RESTART)
        sigaction(SIGINT, &action, nil)
    }

    /// Does `action` instead at the next Ctrl-C, until nil is set.
    static func replace(with action: (@Sendable () -> Void)?) { state.withLock { $0.override = action } }

    /// How long Ctrl-C waits for work to end by itself; another Ctrl-C ends it at once.
    static func waitAtMost(seconds: Double) { state.withLock { $0.patience = seconds } }

    private static func interrupt() {
        let (action, isSecond) = state.withLock { state in
            if let override = state.override { return (override, false) }
            let isSecond = state.isCancelled
            state.isCancelled = true
            return (state.cancel, isSecond)
        }
        if isSecond { _exit(ExitStatus.interrupted) }
        action()
        let (isCancelled, patience) = state.withLock { ($0.isCancelled, $0.patience) }
        if isCancelled {
            Thread.detachNewThread {
                Thread.sleep(forTimeInterval: patience)
                _exit(ExitStatus.interrupted)
            }
        }
    }
}
