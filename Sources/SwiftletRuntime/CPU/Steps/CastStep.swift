// Elements from f32 to bf16 and back.

/// Rounds or widens `count` elements, in whatever order they lie.
struct CastStep {
    enum Function {
        case narrow(NarrowKernel)
        case widen(WidenKernel)
    }

    let function: Function
    var x: UnsafeRawPointer
    let out: UnsafeMutableRawPointer
    let count: Int

    private static let perTask = 16384

    var taskCount: Int { (count + Self.perTask - 1) / Self.perTask }

    func execute(_ task: Int) {
        let start = task * Self.perTask
        let number = Int64(min(count - start, Self.perTask))
        switch function {
        case .narrow(let kernel): kernel(x.assumingMemoryBound(to: Float.self) + start, number, out.assumingMemoryBound(to: UInt16.self) + start)
        case .widen(let kernel): kernel(x.assumingMemoryBound(to: UInt16.self) + start, number, out.assumingMemoryBound(to: Float.self) + start)
        }
    }
}
