import SwiftletTensor
import Testing

@Suite struct TensorTests {
    @Test func holdsWhatItIsGivenInEveryType() throws {
        func roundTrip<Element: TensorElement & Equatable>(_ values: [Element], _ type: DType) throws {
            let tensor = try Tensor(values, shape: [3, 1])
            #expect(tensor.type == type && tensor.shape == [3, 1] && tensor.elementCount == 3)
            #expect(tensor.byteCount == 3 * type.byteCount)
            #expect(try tensor.elements(as: Element.self) == values)
            tensor.withBytes { #expect(Int(bitPattern: $0.baseAddress) % 64 == 0) }
        }
        try roundTrip([0.1, -2, .infinity] as [Double], .f64)
        try roundTrip([0.1, -2, .infinity] as [Float], .f32)
        try roundTrip([0.1, -2, .infinity] as [Float16], .f16)
        try roundTrip([.min, -1, .max] as [Int64], .i64)
        try roundTrip([.min, -1, .max] as [Int32], .i32)
        try roundTrip([.min, -1, .max] as [Int16], .i16)
        try roundTrip([.min, -1, .max] as [Int8], .i8)
        try roundTrip([.min, 1, .max] as [UInt64], .u64)
        try roundTrip([.min, 1, .max] as [UInt32], .u32)
        try roundTrip([.min, 1, .max] as [UInt16], .u16)
        try roundTrip([.min, 1, .max] as [UInt8], .u8)
        try roundTrip([true, false, true], .bool)
    }

    @Test func floatsConvertEveryType() throws {
        #expect(try Tensor([1.5, -2] as [Double], shape: [2]).floats() == [1.5, -2])
        #expect(try Tensor([Int64.max], shape: [1]).floats() == [0x1p63])
        #expect(try Tensor([UInt8(200)], shape: [1]).floats() == [200])
        #expect(try Tensor([true, false], shape: [2]).floats() == [1, 0])
        let bfloats = try Tensor(.bf16, shape: [2]) { $0.copyBytes(from: [0xC0, 0x3F, 0x00, 0xC0]) }
        #expect(try bfloats.floats() == [1.5, -2])
        #expect(try Tensor(zeros: .f32, shape: [0, 4]).floats().isEmpty)
    }

    @Test func scalarsAndEmptyTensors() throws {
        let scalar = try Tensor(scalar: Float(2.5))
        #expect(scalar.shape == [] && scalar.elementCount == 1)
        #expect(try scalar.elements(as: Float.self) == [2.5])
        let empty = try Tensor([Float](), shape: [2, 0, 3])
        #expect(empty.elementCount == 0)
        #expect(try empty.elements(as: Float.self).isEmpty)
        #expect(try Tensor(zeros: .f32, shape: [2, 2]).elements(as: Float.self) == [0, 0, 0, 0])
    }

    @Test func copiesDoNotSeeWrites() throws {
        var first = try Tensor([1, 2, 3] as [Float], shape: [3])
        let second = first
        try first.withMutableElements(as: Float.self) { $0[1] = 9 }
        #expect(try first.elements(as: Float.self) == [1, 9, 3])
        #expect(try second.elements(as: Float.self) == [1, 2, 3])
        var view = try first.reshaped(to: [1, 3])
        try view.withMutableElements(as: Float.self) { $0[0] = 7 }
        #expect(try first.elements(as: Float.self) == [1, 9, 3])
    }

    @Test func aTensorHeldOnceIsWrittenInPlace() throws {
        var tensor = try Tensor([1, 2, 3] as [Float], shape: [3])
        let before = tensor.withBytes { $0.baseAddress }
        try tensor.withMutableElements(as: Float.self) { $0[0] = 5 }
        #expect(tensor.withBytes { $0.baseAddress } == before)
        let copy = tensor
        #expect(copy.withBytes { $0.baseAddress } == before)
        let reshaped = try tensor.reshaped(to: [3, 1])
        #expect(reshaped.withBytes { $0.baseAddress } == before)
    }

    @Test func borrowedBytesAreCopiedBeforeTheyAreWritten() throws {
        let owner = try AlignedMemory(byteCount: 64, purpose: "a test")
        owner.bytes.copyBytes(from: (0..<64).map { UInt8($0) })
        let bytes = UnsafeRawBufferPointer(owner.bytes)
        var tensor = try Tensor(.u8, shape: [64], sharing: bytes, owner: owner)
        #expect(tensor.withBytes { $0.baseAddress } == bytes.baseAddress)
        try tensor.withMutableElements(as: UInt8.self) { $0[0] = 99 }
        #expect(owner.bytes[0] == 0)
        #expect(try tensor.elements(as: UInt8.self).prefix(2) == [99, 1])
        // At an address that suits no vector they are copied at once.
        let odd = try Tensor(.u8, shape: [63], sharing: UnsafeRawBufferPointer(rebasing: bytes[1...]), owner: owner)
        #expect(odd.withBytes { Int(bitPattern: $0.baseAddress) } % 64 == 0)
        #expect(try odd.elements(as: UInt8.self).first == 1)
    }

    @Test func oddBytesAreStillTruthValues() throws {
        let tensor = try Tensor(.bool, shape: [3]) { $0.copyBytes(from: [0, 2, 255]) }
        #expect(try tensor.elements(as: Bool.self) == [false, true, true])
        #expect(try tensor.withElements(as: UInt8.self) { Array($0) } == [0, 2, 255])
        #expect(throws: SwiftletError.self) { try tensor.withElements(as: Bool.self) { $0.count } }
    }

    @Test func stacksABatch() throws {
        let batch = try Tensor.stacked([Tensor([1, 2] as [Float], shape: [1, 2]), Tensor([3, 4] as [Float], shape: [1, 2])])
        #expect(batch.shape == [2, 1, 2])
        #expect(try batch.elements(as: Float.self) == [1, 2, 3, 4])
        #expect(throws: SwiftletError.self) { try Tensor.stacked([]) }
        let (one, two) = (try Tensor(zeros: .f32, shape: [1]), try Tensor(zeros: .f32, shape: [2]))
        #expect(throws: SwiftletError.self) { try Tensor.stacked([one, two]) }
    }

    @Test func equalityIsOfBits() throws {
        let a = try Tensor([Float.nan, 1], shape: [2])
        #expect(try a == Tensor([Float.nan, 1], shape: [2]))
        #expect(try a != Tensor([Float.nan, 2], shape: [2]))
        #expect(try a != a.reshaped(to: [2, 1]))
        #expect(try Tensor([Int32(0)], shape: [1]) != Tensor([Float(0)], shape: [1]))
    }

    @Test func refusesWhatDoesNotFit() throws {
        #expect(throws: SwiftletError.self) { try Tensor([1, 2] as [Float], shape: [3]) }
        #expect(throws: SwiftletError.self) { try Tensor(zeros: .f32, shape: [-1]) }
        #expect(throws: SwiftletError.self) { try Tensor(zeros: .f32, shape: [.max, 2]) }
        #expect(throws: SwiftletError.self) { try Tensor(zeros: .f64, shape: [.max / 4]) }
        #expect(throws: SwiftletError.self) { try Tensor(zeros: .f64, shape: [1 << 59]) }
        let tensor = try Tensor([1, 2] as [Float], shape: [2])
        #expect(throws: SwiftletError.self) { try tensor.elements(as: Int32.self) }
        #expect(throws: SwiftletError.self) { try tensor.reshaped(to: [3]) }
        #expect(throws: SwiftletError.self) {
            try [UInt8](repeating: 0, count: 7).withUnsafeBytes { try Tensor(.f32, shape: [2], copying: $0) }
        }
        #expect("\(tensor)" == "f32 [2]")
    }
}
