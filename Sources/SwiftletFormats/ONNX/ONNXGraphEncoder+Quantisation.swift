// Quantising and dequantising. ONNX's operators take one scale, or one along an axis; scales that broadcast otherwise, and types the operators
// do not take, are written out as arithmetic.
import SwiftletGraph

extension ONNXGraphEncoder {
    /// How the scale, and a zero point of the same shape, lie over x: one number, or one an element of an axis. Nil for anything else.
    private func spread() -> (shape: [Int], axis: Int?)? {
        guard let scale = type(1).shape.fixedSizes else { return nil }
        if node.inputs.count == 3, type(2).shape != type(1).shape { return nil }
        let rank = type(0).shape.count
        let long = scale.indices.filter { scale[$0] != 1 }
        if long.isEmpty { return ([], nil) }
        return long.count == 1 ? ([scale[long[0]]], long[0] + rank - scale.count) : nil
    }

    private static let narrowFloats: Set<DType> = [.f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f4e2m1]
    private static let quantisedIntegers: Set<DType> = [.u8, .i8, .u16, .i16, .u4, .i4, .u2, .i2]
    private static let operandFloats: Set<DType> = [.f32, .f16, .bf16]

    mutating func quantize(to element: DType) throws {
        needs(element.onnxVersion)
        let x = self.element(0)
        if let spread = spread(), Self.operandFloats.contains(x), self.element(1) == x,
            Self.quantisedIntegers.contains(element) || Self.narrowFloats.contains(element)
        {
            var attributes: [Onnx_AttributeProto] = spread.axis.map { [.int("axis", $0)] } ?? []
            if node.inputs.count < 3 { attributes.append(.int("output_dtype", Int(element.onnx.rawValue))) }
            let inputs = try [operand(0)] + (1..<node.inputs.count).map { try operand($0, shape: spread.shape) }
            emit("QuantizeLinear", inputs, attributes, to: result())
            return
        }
        let wide: DType = x == .f64 || self.element(1) == .f64 ? .f64 : .f32
        var value = emit("Div", [try operand(0, as: wide), try operand(1, as: wide)], detail: "quotient")
        if !element.isFloat { value = emit("Round", [value], detail: "rounded") }
        if node.inputs.count == 3 { value = emit("Add", [value, try operand(2, as: wide)], detail: "moved") }
        if let range = element.integerRange, element.byteCount <= 2 {
            let limits = [try scalar(Double(range.lowerBound), wide, "low"), try scalar(Double(range.upperBound), wide, "high")]
            value = emit("Clip", [value] + limits, detail: "limited")
        } else if !element.isFloat {
            throw unsupported("makes \(element)", remedy: "Quantise to 16 bits or fewer.")
        }
        emit("Cast", [value], [.int("to", Int(element.onnx.rawValue))], to: result())
    }

    /// Whether the node is one DequantizeLinear.
    func isDequantizeLinear(to element: DType) -> Bool {
        let q = self.element(0)
        let takes = Self.quantisedIntegers.contains(q) || Self.narrowFloats.contains(q) || (q == .i32 && node.inputs.count == 2)
        return spread() != nil && takes && Self.operandFloats.contains(element) && self.element(1) == element
    }

    mutating func dequantize(to element: DType) throws {
        let q = self.element(0)
        if isDequantizeLinear(to: element), let spread = spread() {
            let inputs = try [operand(0)] + (1..<node.inputs.count).map { try operand($0, shape: spread.shape) }
            emit("DequantizeLinear", inputs, spread.axis.map { [.int("axis", $0)] } ?? [], to: result())
            return
        }
        let wide: DType = element == .f64 || self.element(1) == .f64 || q == .i64 || q == .i32 ? .f64 : .f32
        var value = try operand(0, as: wide)
        if node.inputs.count == 3 { value = emit("Sub", [value, try operand(2, as: wide)], detail: "moved") }
        value = emit("Mul", [value, try operand(1, as: wide)], to: wide == element ? result() : nil, detail: "scaled")
        if wide != element { _ = cast(value, from: wide, to: element, output: result()) }
    }
}
