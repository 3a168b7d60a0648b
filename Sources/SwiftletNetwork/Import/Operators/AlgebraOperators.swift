// Operators of linear algebra: sums of products over named axes, grids of affine maps, determinants.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let algebraOperators: [String: OperatorImporter] = [
        "Einsum": { importer, call in [.tensor(try importer.einsum(call))] },
        "AffineGrid": { importer, call in [.tensor(try importer.affineGrid(call))] },
        "Det": { importer, call in [.tensor(try importer.determinant(call))] },
    ]

    // MARK: Sums of products over named axes

    /// An axis of an equation: a letter, or one that an ellipsis stands for, counted from the last.
    private enum AxisName: Hashable {
        case letter(Character)
        case hidden(Int)
    }

    /// An operand with the names of its axes, each once.
    private struct Named {
        var value: ValueID
        var axes: [AxisName]
    }

    /// Operands are joined from the left, each join a batched matrix product; axes nobody needs any more are summed first.
    private mutating func einsum(_ call: OperatorCall) throws -> ValueID {
        let operands = try call.tensors()
        let equation = try call.string("equation", "").filter { $0 != " " }
        let sides = equation.split(separator: "->", omittingEmptySubsequences: false)
        try call.require(sides.count <= 2 && !operands.isEmpty, "'\(equation)' is no equation")
        let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        try call.require(terms.count == operands.count, "'\(equation)' has \(terms.count) terms for \(operands.count) operands")
        let type = element(operands[0])
        // Sums of small integers wrap alike in i32.
        let wide: DType = type.isInteger && type.byteCount < 4 ? .i32 : type
        let named = try zip(terms, operands).map { term, operand in try (axes: names(of: term, rank: rank(operand), call), operand: operand) }
        var sizes: [AxisName: Int] = [:]
        for (axes, operand) in named {
            for (axis, size) in zip(axes, shape(operand)) {
                let known = sizes[axis, default: 1]
                try call.require(known == size || known == 1 || size == 1, "'\(equation)': an axis has \(known) and \(size) elements")
                sizes[axis] = known == 1 ? size : known
            }
        }
        let wanted: [AxisName]
        if sides.count == 2 {
            let hidden = sizes.keys.compactMap { if case .hidden(let place) = $0 { place } else { nil } }.count
            let letters = sides[1].filter { $0 != "." }.count
            wanted = try names(of: String(sides[1]), rank: letters + (sides[1].contains(".") ? hidden : 0), call)
        } else {
            wanted = Self.implicitResult(named.map(\.axes))
        }
        try call.require(Set(wanted).count == wanted.count && wanted.allSatisfy { sizes[$0] != nil }, "'\(equation)' names no result")

        var rest = try named.map { try prepared(cast($0.operand, wide, "wide"), $0.axes, sizes) }[...]
        var result = rest.removeFirst()
        result = try summed(result, keeping: Set(wanted).union(rest.flatMap(\.axes)))
        while let next = rest.popFirst() {
            let needed = Set(wanted).union(rest.flatMap(\.axes))
            result = try joined(result, summed(next, keeping: needed.union(result.axes)), needed)
        }
        // Axes of length 1 may be in no operand any more.
        let have = wanted.filter(result.axes.contains)
        let ordered = try transpose(result.value, have.map { result.axes.firstIndex(of: $0) ?? 0 }, "order")
        return try cast(reshape(ordered, wanted.map { sizes[$0] ?? 1 }, "shape"), type, "castBack")
    }

    /// The names of a term's axes.
    private func names(of term: String, rank: Int, _ call: OperatorCall) throws -> [AxisName] {
        let letters = term.filter { $0 != "." }
        let dots = term.count - letters.count
        try call.require((dots == 0 || (dots == 3 && term.contains("..."))) && letters.allSatisfy { $0.isASCII && $0.isLetter }, "'\(term)' is no term")
        let hidden = rank - letters.count
        try call.require(dots == 3 ? hidden >= 0 : hidden == 0, "'\(term)' does not name \(rank) axes")
        guard dots == 3 else { return letters.map { .letter($0) } }
        let before = term.prefix { $0 != "." }.count
        let ellipsis = (0..<hidden).map { AxisName.hidden(hidden - 1 - $0) }
        return letters.prefix(before).map { .letter($0) } + ellipsis + letters.dropFirst(before).map { .letter($0) }
    }

    /// Without a right side: the ellipsis, then the letters that stand once, in order.
    private static func implicitResult(_ terms: [[AxisName]]) -> [AxisName] {
        var uses: [Character: Int] = [:]
        var hidden = 0
        for axis in terms.joined() {
            switch axis {
            case .letter(let letter): uses[letter, default: 0] += 1
            case .hidden(let place): hidden = max(hidden, place + 1)
            }
        }
        return (0..<hidden).reversed().map { .hidden($0) } + uses.filter { $0.value == 1 }.keys.sorted().map { .letter($0) }
    }

    /// Repeated names become diagonals, and axes of length 1 that are longer elsewhere go.
    private mutating func prepared(_ value: ValueID, _ names: [AxisName], _ sizes: [AxisName: Int]) throws -> Named {
        var result = Named(value: value, axes: names)
        let kept = names.indices.filter { shape(value)[$0] == sizes[names[$0]] }
        if kept.count < names.count {
            result.value = try reshape(value, kept.map { shape(value)[$0] }, "squeeze")
            result.axes = kept.map { names[$0] }
        }
        while let first = result.axes.indices.first(where: { result.axes[($0 + 1)...].contains(result.axes[$0]) }) {
            let name = result.axes[first]
            let second = result.axes.lastIndex(of: name) ?? first
            let others = result.axes.indices.filter { $0 != first && $0 != second }
            let shape = shape(result.value), size = shape[first]
            let moved = try transpose(result.value, others + [first, second], "pair")
            let flat = try reshape(moved, others.map { shape[$0] } + [size * size], "pair")
            result.value = try slice(flat, axis: others.count, 0..<size * size, step: size + 1, "diagonal")
            result.axes = others.map { result.axes[$0] } + [name]
        }
        return result
    }

    private mutating func summed(_ x: Named, keeping: Set<AxisName>) throws -> Named {
        let gone = x.axes.indices.filter { !keeping.contains(x.axes[$0]) }
        if gone.isEmpty { return x }
        return Named(value: try reduce(.sum, x.value, gone, keepsAxes: false, "sum"), axes: x.axes.filter(keeping.contains))
    }

    /// The product of two operands, summed over the axes both have and nobody needs.
    private mutating func joined(_ a: Named, _ b: Named, _ needed: Set<AxisName>) throws -> Named {
        let both = a.axes.filter(b.axes.contains)
        let (batch, contracted) = (both.filter(needed.contains), both.filter { !needed.contains($0) })
        let (left, right) = (a.axes.filter { !both.contains($0) }, b.axes.filter { !both.contains($0) })
        func sizes(_ x: Named, _ axes: [AxisName]) -> [Int] { axes.map { shape(x.value)[x.axes.firstIndex(of: $0) ?? 0] } }
        func product(_ sizes: [Int]) -> Int { sizes.reduce(1, *) }
        func arranged(_ importer: inout Importer, _ x: Named, _ axes: [AxisName], _ shape: [Int]) throws -> ValueID {
            try importer.reshape(importer.transpose(x.value, axes.map { x.axes.firstIndex(of: $0) ?? 0 }, "arrange"), shape, "matrices")
        }
        let (batchSizes, leftSizes, rightSizes) = (sizes(a, batch), sizes(a, left), sizes(b, right))
        let (count, depth) = (product(batchSizes), product(sizes(a, contracted)))
        let rows = try arranged(&self, a, batch + left + contracted, [count, product(leftSizes), depth])
        let columns = try arranged(&self, b, batch + contracted + right, [count, depth, product(rightSizes)])
        return Named(value: try reshape(matmul(rows, columns), batchSizes + leftSizes + rightSizes, "axes"), axes: batch + left + right)
    }

    // MARK: Grids

    /// The places of an output's elements, from −1 to 1, under affine maps: `theta [n, d, d + 1] → [n, space…, d]`.
    private mutating func affineGrid(_ call: OperatorCall) throws -> ValueID {
        let theta = try call.tensor(0)
        let size = try integers(call.tensor(1))
        let space = Array(size.dropFirst(2)), axes = space.count
        try call.require(
            (axes == 2 || axes == 3) && space.allSatisfy { $0 > 0 && $0 < 1 << 24 } && shape(theta) == [size[0], axes, axes + 1],
            "maps \(shape(theta)) do not suit the size \(size)")
        let total = space.reduce(1) { $0.multipliedReportingOverflow(by: $1).overflow ? Int.max : $0 * $1 }
        try call.require(total <= Self.mostFoldedBytes / 32, "the grid \(space) is too large")
        let alignsCorners = try call.bool("align_corners")
        // Centres of the outermost elements, or their edges, are at ±1.
        let coordinates = space.map { size -> [Double] in
            let (step, first) = alignsCorners ? (2 / Double(max(1, size - 1)), -1) : (2 / Double(size), 1 / Double(size) - 1)
            return (0..<size).map { first + step * Double($0) }
        }
        // The last axis of space is the first coordinate.
        var points: [Double] = []
        points.reserveCapacity(total * (axes + 1))
        for place in 0..<total {
            var rest = place
            for axis in space.indices.reversed() {
                points.append(coordinates[axis][rest % space[axis]])
                rest /= space[axis]
            }
            points.append(1)
        }
        return try widened(theta) { importer, theta in
            let grid = try importer.constant(points, shape: [total, axes + 1], importer.element(theta))
            let moved = try importer.matmul(grid, importer.transpose(theta, [0, 2, 1], "columns"), "places")
            return try importer.reshape(moved, [size[0]] + space + [axes], "grid")
        }
    }

    // MARK: Determinants

    /// Elimination with the largest pivot of each column: the product of the pivots, its sign changed by each swap.
    private mutating func determinant(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        let size = shape.last ?? -1
        try call.require(shape.count >= 2 && shape[shape.count - 2] == size, "\(shape) are no square matrices")
        try call.require(size <= 1 << 10, "matrices of \(size) rows are too large")
        let leading = Array(shape.dropLast(2)), batch = leading.reduce(1, *)
        return try widened(x) { importer, x in
            let type = importer.element(x)
            var matrix = try importer.reshape(x, [batch, size, size], "matrices")
            var result = try importer.expand(importer.scalar(1, type), [batch, 1, 1], "one")
            for left in stride(from: size, to: 0, by: -1) {
                let column = try importer.slice(matrix, axis: 2, 0..<1, "column")
                guard left > 1 else {
                    result = try importer.binary(.multiply, result, column, "product")
                    break
                }
                let magnitudes = try importer.unary(.absolute, column, "magnitudes")
                let place = try importer.apply(.argument(.largest, axis: 1, keepsAxis: true, takesLast: false), [magnitudes], "pivot")
                let pivotRow = try importer.apply(.gatherElements(axis: 1), [matrix, importer.expand(place, [batch, 1, left])], "pivotRow")
                let pivot = try importer.slice(pivotRow, axis: 2, 0..<1, "pivot")
                let isFirst = try importer.binary(.equal, place, importer.constant([0], shape: []), "isFirst")
                let signed = try importer.select(isFirst, pivot, importer.unary(.negate, pivot, "negated"), "signed")
                result = try importer.binary(.multiply, result, signed, "product")
                // The first row goes where the pivot's was; what remains is below it.
                let isPivot = try importer.binary(.equal, place, importer.constant(Array(0..<left), shape: [1, left, 1]), "isPivot")
                let swapped = try importer.select(isPivot, importer.slice(matrix, axis: 1, 0..<1, "firstRow"), matrix, "swapped")
                let rows = try importer.slice(swapped, axis: 1, 1..<left, "rows")
                // A column of zeros has no pivot, and needs no elimination.
                let isZero = try importer.binary(.equal, pivot, importer.scalar(0, type), "isZero")
                let divisor = try importer.select(isZero, importer.scalar(1, type), pivot, "divisor")
                let factors = try importer.binary(.divide, importer.slice(rows, axis: 2, 0..<1, "below"), divisor, "factors")
                let taken = try importer.binary(.multiply, factors, importer.slice(pivotRow, axis: 2, 1..<left, "tail"), "taken")
                matrix = try importer.binary(.subtract, importer.slice(rows, axis: 2, 1..<left, "tails"), taken, "rest")
            }
            return try importer.reshape(result, leading, "determinants")
        }
    }
}
