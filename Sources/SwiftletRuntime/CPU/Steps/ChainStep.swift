// Convolutions one after another in bands of rows (ckernels/conv.h, chains): what lies between them stays in the cache.
import CKernels

/// A few convolutions of images, each reading what the one before it makes.
struct ChainStep {
    /// For the first image.
    let steps: UnsafePointer<ck_conv_step>
    let count: Int
    let images: Int
    let elementBytes: Int
    /// Elements from image to image, of the input of the first step, the output of the last, and the residual of each.
    let inputStride, outputStride: Int
    let residualStrides: UnsafePointer<Int>
    /// Of the last step's output: tasks are ranges of them.
    let rows: Int
    let ranges: Int

    var taskCount: Int { images * ranges }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let (image, range) = task.quotientAndRemainder(dividingBy: ranges)
        let first = range * rows / ranges, end = (range + 1) * rows / ranges
        if image == 0 {
            ck_conv_chain(steps, Int64(count), Int64(elementBytes), Int64(first), Int64(end - first), scratch)
            return
        }
        withUnsafeTemporaryAllocation(of: ck_conv_step.self, capacity: count) { own in
            for index in 0..<count {
                var step = steps[index]
                if index == 0 { step.args.input += image * inputStride * elementBytes }
                if index == count - 1 { step.args.output += image * outputStride * elementBytes }
                if step.args.epilogue.residual != nil { step.args.epilogue.residual += image * residualStrides[index] * elementBytes }
                own.initializeElement(at: index, to: step)
            }
            ck_conv_chain(own.baseAddress, Int64(count), Int64(elementBytes), Int64(first), Int64(end - first), scratch)
        }
    }
}
