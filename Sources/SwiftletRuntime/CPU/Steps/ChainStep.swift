// Convolutions one after another in bands of rows (ckernels/conv.h, chains): what lies between them stays in the cache.
import CKernels

/// A few convolutions of images, each reading what the one before it makes.
struct ChainStep {
    /// For the first image.
    let steps: UnsafePointer<ck_conv_step>
    let count: Int
    let images: Int
    let elementBytes: Int
    /// What the rows of the last output are cut into.
    let ranges: Int

    var taskCount: Int { images * ranges }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let (image, range) = task.quotientAndRemainder(dividingBy: ranges)
        let rows = Int(steps[count - 1].args.shape.output_height)
        let first = range * rows / ranges, end = (range + 1) * rows / ranges
        withUnsafeTemporaryAllocation(of: ck_conv_step.self, capacity: count) { own in
            for index in 0..<count {
                var args = steps[index].args
                let input = args.shape.input_height * args.shape.input_width, output = args.shape.output_height * args.shape.output_width
                // Images follow each other; what lies between the steps has no address.
                if args.input != nil { args.input += image * Int(input * args.input_pixel_stride) * elementBytes }
                if args.output != nil { args.output += image * Int(output * args.output_pixel_stride) * elementBytes }
                if args.epilogue.residual != nil { args.epilogue.residual += image * Int(output * args.epilogue.residual_pixel_stride) * elementBytes }
                own.initializeElement(at: index, to: ck_conv_step(function: steps[index].function, args: args))
            }
            ck_conv_chain(own.baseAddress, Int64(count), Int64(elementBytes), Int64(first), Int64(end - first), scratch)
        }
    }
}
