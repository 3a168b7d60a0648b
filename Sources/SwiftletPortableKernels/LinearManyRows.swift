// Integer matrix products of several activation rows. The numbers of a block are unpacked once into 16 bits, 1 KiB that stays in the nearest cache, and
// meet each activation row of a tile there: 4 output rows × 2 k an instruction. The activations of a tile are widened and repeated once for four panels.
//
// The bound on x86, whose oldest 64-bit form (SSE2) is all Swift may count on: pmaddwd, 8 products an instruction and an addition each, so that a row
// and a block of 16 outputs × 32 k cost 64 of either. AVX2 has 16 products an instruction, and 32 for narrow weights by 8-bit activations (pmaddubsw),
// whose sums it also adds in 16 bits: half and a quarter of the instructions.
import CKernels

/// Activation rows and panels of a tile.
let linearRowTile = 16, linearPanelTile = 4

/// Where a tile keeps what it works on, 9 KiB. A value, so that it lies on the stack: a temporary allocation of this size need not.
struct TileScratch {
    private typealias KiB = (Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line, Line)
    private typealias Line = SIMD64<UInt8>
    private static var zero: KiB {
        let l = Line()
        return (l, l, l, l, l, l, l, l, l, l, l, l, l, l, l, l)
    }

    /// The numbers of a block, 1 KiB.
    private var numbers = zero
    /// The repeated activations of a block: 512 bytes for two rows.
    private var activations = (zero, zero, zero, zero)
    /// The sums so far of each panel and row, 64 bytes.
    private var totals = (zero, zero, zero, zero)

    @_transparent static var activationOffset: Int { 1024 }
    @_transparent static var totalOffset: Int { activationOffset + 256 * linearRowTile }
}

/// The stored numbers of one block: for each group of 4 k the even ones of 4 × 4 output rows, then the odd ones.
@_transparent
private func unpack<Panel: IntegerPanel>(_: Panel.Type, _ quants: UnsafeRawPointer, _ numbers: UnsafeMutableRawPointer) {
    @_transparent
    func store(_ value: Halfwords, _ group: Int, _ parity: Int, _ quad: Int) {
        numbers.storeBytes(of: value, toByteOffset: 128 * group + 64 * parity + 16 * quad, as: Halfwords.self)
    }
    if let codeBook = Panel.codeBook {
        // No vector instruction looks bytes up, so this goes number by number.
        withUnsafeBytes(of: codeBook) { codeBook in
            for index in 0..<256 {
                let byte = Int(quants.load(fromByteOffset: index, as: UInt8.self))
                let place = numbers + 128 * (index / 64) + 64 * (index & 1) + (index & 62)
                place.storeBytes(of: Int16(Int8(bitPattern: codeBook[byte & 15])), as: Int16.self)
                place.storeBytes(of: Int16(Int8(bitPattern: codeBook[byte &>> 4])), toByteOffset: 512, as: Int16.self)
            }
        }
    } else if Panel.lowBits == 4, Panel.highBits == 0 {
        for line in 0..<4 {
            for quad in 0..<4 {
                let bytes = quants.load(fromByteOffset: 64 * line + 16 * quad, as: Halfwords.self)
                store(bytes & 0x000f, line, 0, quad)
                store(shiftedDown(bytes, 8) & 0x000f, line, 1, quad)
                store(shiftedDown(bytes, 4) & 0x000f, line + 4, 0, quad)
                store(shiftedDown(bytes, 12), line + 4, 1, quad)
            }
        }
    } else {
        /// The bits of group `group` from a plane of `bits` bits, at the bottom of each byte.
        @_transparent
        func bits(_ plane: UnsafeRawPointer, _ bits: Int, _ group: Int, _ quad: Int) -> Halfwords {
            // A line of 64 bytes holds 8 / bits groups; 4-bit lines hold groups 4 apart, the others neighbours.
            let line = bits == 8 ? group : bits == 4 ? group % 4 : bits == 2 ? group / 4 : 0
            let place = bits == 8 ? 0 : bits == 4 ? group / 4 * 4 : bits == 2 ? group % 4 * 2 : group
            let mask = Int16(truncatingIfNeeded: ((1 << bits) - 1) * 0x0101)
            return shiftedDown(plane.load(fromByteOffset: 64 * line + 16 * quad, as: Halfwords.self), UInt16(truncatingIfNeeded: place)) & mask
        }
        for group in 0..<8 {
            for quad in 0..<4 {
                var bytes = bits(quants, Panel.lowBits, group, quad)
                if Panel.highBits > 0 { bytes |= bits(quants + Panel.highOffset, Panel.highBits, group, quad) &<< Int16(Panel.lowBits) }
                store(bytes & 0x00ff, group, 0, quad)
                store(shiftedDown(bytes, 8), group, 1, quad)
            }
        }
    }
}

/// Writes the 32 activations of a block, each pair of k repeated for 4 output rows, 32 bytes apart.
@_transparent
private func repeatActivations<Terms: ActivationTerms>(
    _ terms: Terms.Type, high: UnsafeRawPointer, low: UnsafeRawPointer, _ destination: UnsafeMutableRawPointer
) {
    for half in 0..<2 {
        let activations = SixteenActivations(terms, high: high + 16 * half, low: low + 16 * half), first = destination + 256 * half
        @_transparent
        func write(_ group: Int) {
            first.storeBytes(of: SixteenActivations.repeated(activations.even, group), toByteOffset: 64 * group, as: Halfwords.self)
            first.storeBytes(of: SixteenActivations.repeated(activations.odd, group), toByteOffset: 64 * group + 32, as: Halfwords.self)
        }
        write(0)
        write(1)
        write(2)
        write(3)
    }
}

/// Exact sums of 16 output rows.
private struct BlockSums {
    var a = Quad(), b = Quad(), c = Quad(), d = Quad()
}

/// `count` activation rows × `panelCount` panels.
///
/// Never inlined: where the compiler sees that the parts of the scratch memory do not overlap, it reads all numbers ahead of the rows, widens and narrows
/// each, and spills them.
@inline(never)
func tile<Panel: IntegerPanel, Terms: ActivationTerms>(
    _ type: Panel.Type, _ terms: Terms.Type, panels: UnsafeRawPointer, panelStride: Int, panelCount: Int, activations: UnsafeRawPointer,
    activationStride: Int, count: Int, k: Int64, scratch: UnsafeMutableRawPointer, output: UnsafeMutablePointer<Float>, outputStride: Int, valid: Int
) {
    let lowOffset = ck_activation_low_offset(k), records = ck_activation_block_offset(Terms.format, k)
    let numbers = scratch, repeated = scratch + TileScratch.activationOffset, totals = scratch + TileScratch.totalOffset
    totals.initializeMemory(as: SIMD4<Float>.self, repeating: SIMD4(), count: 4 * linearRowTile * panelCount)
    // Steps of four k in a part of a block. Not a constant to the compiler, which would unroll the loop over them and run out of registers.
    let steps = 8 / Panel.parts &+ Int(k & 31)
    for index in 0..<Int(k / Int64(CK_BLOCK)) {
        for m in 0..<count {
            let high = activations + m * activationStride + index * Int(CK_BLOCK)
            repeatActivations(terms, high: high, low: high + lowOffset, repeated + 512 * (m / 2) + 16 * (m % 2))
        }
        let firstRecord = activations + records + index * MemoryLayout<ck_activation_block>.stride
        for panel in 0..<panelCount {
            let block = panels + panel * panelStride + 64 + index * Panel.blockBytes
            unpack(type, block + Panel.quantOffset, numbers)
            for part in 0..<Panel.parts {
                let scales = block + 32 * part, minima = scales + 32 * Panel.parts
                let scaleA = floats(scales), scaleB = floats(scales + 8), scaleC = floats(scales + 16), scaleD = floats(scales + 24)
                let minimumA = floats(minima), minimumB = floats(minima + 8), minimumC = floats(minima + 16), minimumD = floats(minima + 24)
                let partNumbers = numbers + 512 * part
                var total = totals + 64 * linearRowTile * panel, record = firstRecord
                @_transparent
                func add(_ sums: BlockSums) {
                    let values = record.assumingMemoryBound(to: ck_activation_block.self)
                    let scale = values.pointee.scale
                    let integerSum = Panel.parts == 1 ? values.pointee.sum : part == 0 ? values.pointee.half_sum.0 : values.pointee.half_sum.1
                    let floatSum = Panel.parts == 1 ? values.pointee.scaled_sum : part == 0 ? values.pointee.scaled_half_sum.0 : values.pointee.scaled_half_sum.1
                    let zero = Quad(repeating: integerSum &* Panel.zero), scaledSum = SIMD4<Float>(repeating: floatSum)
                    @_transparent
                    func add(_ sum: Quad, _ weightScale: SIMD4<Float>, _ minimum: SIMD4<Float>, _ offset: Int) {
                        let before = total.load(fromByteOffset: offset, as: SIMD4<Float>.self)
                        let scaled = multiplyAdd(before, SIMD4<Float>(Panel.zero == 0 ? sum : sum &- zero), weightScale * scale)
                        total.storeBytes(of: Panel.hasMinimum ? multiplyAdd(scaled, minimum, scaledSum) : scaled, toByteOffset: offset, as: SIMD4<Float>.self)
                    }
                    add(sums.a, scaleA, minimumA, 0)
                    add(sums.b, scaleB, minimumB, 16)
                    add(sums.c, scaleC, minimumC, 32)
                    add(sums.d, scaleD, minimumD, 48)
                    record += activationStride
                    total += 64
                }
                // Two rows at once: each vector of numbers is read once for both.
                for pair in 0..<count / 2 {
                    var first = BlockSums(), second = BlockSums()
                    var number = UnsafeRawPointer(partNumbers), activation = UnsafeRawPointer(repeated + 512 * pair + 256 * part)
                    for _ in 0..<steps {
                        @_transparent
                        func add(_ step: Int) {
                            let one = activation.load(fromByteOffset: 32 * step, as: Halfwords.self)
                            let two = activation.load(fromByteOffset: 32 * step + 16, as: Halfwords.self)
                            @_transparent
                            func add(_ quad: Int, _ first: inout Quad, _ second: inout Quad) {
                                let vector = number.load(fromByteOffset: 64 * step + 16 * quad, as: Halfwords.self)
                                first &+= dot(vector, one)
                                second &+= dot(vector, two)
                            }
                            add(0, &first.a, &second.a)
                            add(1, &first.b, &second.b)
                            add(2, &first.c, &second.c)
                            add(3, &first.d, &second.d)
                        }
                        add(0)
                        add(1)
                        number += 128
                        activation += 64
                    }
                    add(first)
                    add(second)
                }
                if count % 2 == 1 {
                    var sums = BlockSums()
                    var number = UnsafeRawPointer(partNumbers), activation = UnsafeRawPointer(repeated + 512 * (count / 2) + 256 * part)
                    for _ in 0..<steps {
                        @_transparent
                        func add(_ step: Int) {
                            let pair = activation.load(fromByteOffset: 32 * step, as: Halfwords.self)
                            sums.a &+= dot(number.load(fromByteOffset: 64 * step, as: Halfwords.self), pair)
                            sums.b &+= dot(number.load(fromByteOffset: 64 * step + 16, as: Halfwords.self), pair)
                            sums.c &+= dot(number.load(fromByteOffset: 64 * step + 32, as: Halfwords.self), pair)
                            sums.d &+= dot(number.load(fromByteOffset: 64 * step + 48, as: Halfwords.self), pair)
                        }
                        add(0)
                        add(1)
                        number += 128
                        activation += 64
                    }
                    add(sums)
                }
            }
        }
    }
    for panel in 0..<panelCount {
        for m in 0..<count {
            for quad in 0..<4 {
                let column = 16 * panel + 4 * quad
                store(
                    totals.load(fromByteOffset: 64 * (linearRowTile * panel + m) + 16 * quad, as: SIMD4<Float>.self),
                    panels + panel * panelStride + 16 * quad, output + m * outputStride + column, valid - column)
            }
        }
    }
}

/// Writes 4 outputs times their row factors, or the `valid` first of them.
@_transparent
func store(_ total: SIMD4<Float>, _ factors: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, _ valid: Int) {
    let result = total * factors.load(as: SIMD4<Float>.self)
    if valid >= 4 { return UnsafeMutableRawPointer(output).storeBytes(of: result, as: SIMD4<Float>.self) }
    for lane in 0..<max(valid, 0) { output[lane] = result[lane] }
}
