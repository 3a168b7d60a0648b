// Progress of work in several parts: a line for each, one after the other.
import Synchronization

/// Shows how far the part is that is being done.
final class ProgressLines: Sendable {
    private let current = Mutex<(title: String, line: ProgressLine)?>(nil)

    /// Shows `done` of `total` of the part `title`; another title, or less than before, begins a line below.
    func update(_ title: String, done: Int, of total: Int, detail: String) {
        let line = current.withLock { current in
            if let current, current.title == title { return current.line }
            current?.line.finish()
            let line = ProgressLine(title)
            current = (title, line)
            return line
        }
        line.update(done: done, of: total, detail: "\(done) of \(total): \(detail)")
    }

    /// Leaves the last line as it is.
    func finish() {
        current.withLock { current in
            current?.line.finish()
            current = nil
        }
    }
}
