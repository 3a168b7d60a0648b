import SwiftletTensor
import Testing

@Suite struct ShapeTests {
    @Test func elementCountIsCheckedForOverflow() {
        #expect(Shape([]).checkedElementCount == 1)
        #expect(Shape([3, 0, 5]).checkedElementCount == 0)
        #expect(Shape([Int.max, 2]).checkedElementCount == nil)
        #expect(Shape([-1]).checkedElementCount == nil)
    }

    @Test(arguments: BlockFormat.allCases) func rowBytesNeedWholeBlocks(format: BlockFormat) {
        let weight = WeightFormat.block(format)
        #expect(weight.rowBytes(elements: format.blockElements) == format.blockBytes)
        #expect(weight.rowBytes(elements: format.blockElements * 3) == format.blockBytes * 3)
        #expect(weight.rowBytes(elements: format.blockElements - 1) == nil)
        #expect(weight.rowBytes(elements: Int.max - Int.max % format.blockElements) == nil || format.blockBytes < format.blockElements)
    }
}
