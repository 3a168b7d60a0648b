// Where the command writes: results to standard output at once, so that a reader sees tokens as they come; talk to standard error.
import Foundation

enum Console {
    /// Whether standard error is a terminal, which can redraw a line.
    static let reportsToTerminal = isatty(STDERR_FILENO) == 1
    /// Whether a person types the input.
    static let readsFromTerminal = isatty(STDIN_FILENO) == 1

    /// Writes to standard output.
    static func write(_ text: String) { write(Array(text.utf8), to: STDOUT_FILENO) }

    /// Writes bytes to standard output.
    static func write(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

    /// Writes a line to standard error.
    static func report(_ line: String) { write(Array((line + "\n").utf8), to: STDERR_FILENO) }

    /// Writes to standard error without ending the line.
    static func reportPart(_ text: String) { write(Array(text.utf8), to: STDERR_FILENO) }

    /// Unbuffered. A reader that has gone away ends the process with SIGPIPE, as for any command; other failures cannot be reported anywhere.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Foundation.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                guard count > 0 else { return }
                done += count
            }
        }
    }
}
